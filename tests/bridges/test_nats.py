"""``edgeser bridge nats`` and ``edgeser lake`` with a real nats-server."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import dataset

from edgeser.bridges.nats.server import parse_url
from edgeser.bridges.nats.subjects import Device, origin
from edgeser.errors import UserError
from edgeser.events.journal.journal import JournalPlace
from edgeser.events.publish.publisher import Publisher
from edgeser.lake.fill import CONSUMER, STREAM
from edgeser.lake.store import Store
from edgeser.lake.tables import Message, sort
from tests.audio.test_network import certificates
from tests.bridges.nats_server import PATIENCE_S, NatsServer
from tests.events.helpers import emotion, fault, speech, status

EDGESER = [sys.executable, "-m", "edgeser"]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """The daemon's publisher with a journal."""
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        journal = JournalPlace(Path(folder) / "journal.db")
        with Publisher([f"ipc://{folder}/events.sock"], journal=journal) as publisher:
            yield publisher


class Running:
    """A command that runs, and what it says."""

    def __init__(self, log: Path, *command: str) -> None:
        self._log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen([*EDGESER, *command], stderr=errors)

    @property
    def log(self) -> list[str]:
        return self._log.read_text().splitlines()

    def says(self, part: str) -> str:
        until(lambda: any(part in line for line in self.log))
        return next(line for line in self.log if part in line)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def bridging(
    publisher: Publisher, url: str, folder: Path, *options: str, device: str = "hall"
) -> Iterator[Running]:
    running = Running(
        folder / "bridge.log",
        *("bridge", "nats", url, "--site", "berlin", "--device", device, "--since", "all"),
        *("--connect", publisher.endpoints[0], "--cursor", str(folder / "nats.cursor")),
        *options,
    )
    try:
        yield running
        assert "Traceback" not in "".join(running.log)
    finally:
        running.kill()


def fill(url: str, lake: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*EDGESER, "lake", "fill", url, "-o", str(lake), "--every", "1", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@contextmanager
def filling(url: str, lake: Path, *options: str) -> Iterator[Running]:
    """The lake is filled all the while, once a second; the stream is there."""
    folder = Path(tempfile.mkdtemp(dir=lake.parent))
    filler = Running(folder / "log", "lake", "fill", url, "-o", str(lake), "--every", "1", *options)
    try:
        filler.says("takes from")
        yield filler
        assert "Traceback" not in "".join(filler.log)
    finally:
        filler.kill()


def ask(lake: Path, *question: str) -> list[dict[str, object]]:
    command = [*EDGESER, "lake", "ask", str(lake), *question, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def keys(lake: Path, table: str = "finals") -> list[tuple[str, str, int]]:
    """What is in a table: device, epoch, seq."""
    parts = sorted(map(str, (lake / table).glob("day=*/part-*.parquet")))
    if not parts:
        return []
    found = dataset.dataset(parts).to_table(columns=["device", "epoch", "seq"])
    return list(zip(*(found[name].to_pylist() for name in found.column_names), strict=True))


def test_events_go_from_the_daemon_through_the_server_into_tables(
    publisher: Publisher, server: NatsServer, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    for event in (speech(), emotion(kind="partial"), emotion(), fault("deaf"), speech(end=2.0)):
        publisher.publish(event)
    for number in range(2, 7):
        publisher.publish(emotion(number, label="angry"))
    with filling(server.url, lake), bridging(publisher, server.url, tmp_path) as bridge:
        bridge.says("connected")
        until(lambda: len(keys(lake)) == 6 and len(keys(lake, "faults")) == 1)
        until(lambda: len(keys(lake, "speech")) == 2)
        bridge.process.send_signal(signal.SIGTERM)
        assert bridge.process.wait(60) == 0
    # The partial took a number: those of finals have a hole there.
    assert sorted(keys(lake)) == [("hall", publisher.epoch, seq) for seq in (2, 3, 4, 5, 6, 7)]
    (mood,) = ask(lake, "mood")
    assert (mood["site"], mood["device"], mood["remarks"]) == ("berlin", "hall", 6)
    assert (mood["mostly"], mood["labels"]) == ("angry", {"angry": 5, "happy": 1})
    (silence,) = ask(lake, "silence")
    assert (silence["stream"], silence["faults"], silence["last_fault"]) == ("mic", 1, "deaf")
    today = str(mood["hour"])[:10]
    day = ask(lake, "day", "--device", "hall", "--day", today)
    assert [line["what"] for line in day][:4] == ["speech", "final", "fault", "speech"]
    assert day[1]["text"] == "happy 85 %"
    assert ask(lake, "day", "--device", "nobody", "--day", today) == []
    assert ask(lake, "SELECT count(*) AS n FROM speech") == [{"n": 2}]
    views = subprocess.run([*EDGESER, "lake", "sql", str(lake)], capture_output=True, text=True)
    assert views.stdout.count("CREATE OR REPLACE VIEW") == 3


def test_nothing_is_lost_or_twice_when_server_bridge_and_lake_are_killed(
    publisher: Publisher, server: NatsServer, tmp_path: Path
) -> None:
    lake, turns, each = tmp_path / "lake", 2, 800
    for turn in range(turns):
        with filling(server.url, lake), bridging(publisher, server.url, tmp_path) as bridge:
            for number in range(each):
                publisher.publish(emotion(turn * each + number + 1))
            until(lambda t=turn: len(keys(lake)) > t * each)
            server.kill()
            bridge.says("trying again")
        server.start()
    with filling(server.url, lake), bridging(publisher, server.url, tmp_path):
        until(lambda: len(set(keys(lake))) == turns * each)
    # What was written and not acknowledged is delivered again, and left out.
    assert fill(server.url, lake, "--once").returncode == 0
    assert len(keys(lake)) == turns * each


def test_a_device_that_tells_all_again_after_a_day_adds_nothing(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    device = Device("berlin", "hall")
    events = [
        msgspec.structs.replace(emotion(n), epoch="e", seq=n, time=1_700_000_000.0 + n)
        for n in range(1, 101)
    ]
    told = [Message(device.subject(event), msgspec.json.encode(event)) for event in events]
    store = Store(lake)
    try:
        assert store.add(sort(told[:60])) == 60
        assert store.add(sort(told[40:] + told[90:])) == 40
        assert store.add(sort(told)) == 0
    finally:
        store.close()
    assert sorted(keys(lake)) == [("hall", "e", n) for n in range(1, 101)]


def test_what_is_no_event_is_set_aside(tmp_path: Path) -> None:
    subject = Device("a", "b").subject(emotion())
    wrong = [
        Message(subject, b"{"),
        Message(subject, msgspec.json.encode(status())),
        Message("edgeser.a", msgspec.json.encode(emotion())),
        Message(subject, msgspec.json.encode(msgspec.structs.replace(emotion(), time=1e300))),
    ]
    done = sort(wrong)
    assert not done.rows
    assert done.rejected["subject"].to_pylist() == [message.subject for message in wrong]


def test_a_second_lake_in_one_folder_is_refused(server: NatsServer, tmp_path: Path) -> None:
    store = Store(tmp_path / "lake")
    try:
        done = fill(server.url, tmp_path / "lake", "--once")
        assert done.returncode == 2
        assert "fills it; stop that, or name another folder" in done.stderr
    finally:
        store.close()


def test_what_a_lake_took_and_did_not_write_comes_to_the_next_at_once(
    server: NatsServer, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    assert fill(server.url, lake, "--once", "--every", "3600").returncode == 0

    async def take() -> None:
        client = await nats.connect(server.url)
        jetstream = client.jetstream()
        for seq in range(1, 101):
            event = msgspec.structs.replace(emotion(seq), epoch="e", seq=seq)
            subject = Device("berlin", "hall").subject(event)
            await jetstream.publish(subject, msgspec.json.encode(event))
        messages = await jetstream.pull_subscribe("", durable=CONSUMER, stream=STREAM)
        assert len(await messages.fetch(50)) == 50
        await client.close()

    asyncio.run(take())
    assert fill(server.url, lake, "--once", "--every", "3600").returncode == 0
    assert len(keys(lake)) == 100


def test_a_second_lake_on_one_stream_waits(server: NatsServer, tmp_path: Path) -> None:
    def said_by_the_second() -> str:
        log = tmp_path / "second.log"
        second = Running(log, "lake", "fill", server.url, "-o", str(tmp_path / "b"))
        try:
            until(lambda: second.log)
            return second.log[-1]
        finally:
            second.kill()

    with filling(server.url, tmp_path / "a"):  # seen while it asks for events: nearly always
        until(lambda: "another lake takes from it; stop that" in said_by_the_second())


def test_a_lake_that_has_no_room_waits_and_goes_on(
    publisher: Publisher, server: NatsServer, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    assert fill(server.url, lake, "--once").returncode == 0
    with bridging(publisher, server.url, tmp_path) as bridge:
        for number in range(200):
            publisher.publish(emotion(number + 1))
        bridge.says("connected")
        log = tmp_path / "full.log"
        command = [*EDGESER, "lake", "fill", server.url, "-o", str(lake), "--every", "1"]
        with log.open("wb") as errors:
            full = subprocess.Popen(["prlimit", "--fsize=2000", *command], stderr=errors)
        try:
            until(lambda: "File too large; trying again" in log.read_text())
            assert "Traceback" not in log.read_text()
            assert not keys(lake)
        finally:
            full.kill()
            full.wait()
        with filling(server.url, lake):
            until(lambda: len(keys(lake)) == 200)


def test_what_is_wrong_is_said_in_one_line_and_waited_for(
    publisher: Publisher, server: NatsServer, tmp_path: Path
) -> None:
    with bridging(publisher, server.url, tmp_path) as bridge:
        publisher.publish(emotion())
        line = bridge.says("no stream stores our subjects")
        assert "trying again" in line
        with filling(server.url, tmp_path / "lake"):
            until(lambda: keys(tmp_path / "lake"))
        assert sum("no stream" in line for line in bridge.log) == 1
        bridge.says("events go on")
        server.kill()
        until(lambda: any("was lost" in x or "be reached" in x for x in bridge.log))


def test_a_full_stream_holds_events_back_until_there_is_room(
    publisher: Publisher, tmp_path: Path
) -> None:
    server = NatsServer(tmp_path / "nats", jetstream="max_file: 2MB")
    server.start()
    lake = tmp_path / "lake"
    try:
        assert fill(server.url, lake, "--once", "--stream-gb", "0.001").returncode == 0
        for number in range(2000):
            publisher.publish(emotion(number + 1))
        with bridging(publisher, server.url, tmp_path) as bridge:
            assert "maximum bytes exceeded" in bridge.says("it takes no events")
            with filling(server.url, lake):
                until(lambda: len(keys(lake)) == 2000)
        assert len(set(keys(lake))) == 2000
    finally:
        server.kill()


def test_an_event_larger_than_the_server_takes_is_left_out(
    publisher: Publisher, tmp_path: Path
) -> None:
    server = NatsServer(tmp_path / "nats", "max_payload: 4096")
    server.start()
    lake = tmp_path / "lake"
    try:
        assert fill(server.url, lake, "--once").returncode == 0
        publisher.publish(fault("x" * 5000))
        publisher.publish(fault("short"))
        with bridging(publisher, server.url, tmp_path) as bridge:
            bridge.says("takes 4096 bytes at most; larger events are left out")
            with filling(server.url, lake):
                until(lambda: len(keys(lake, "faults")) == 1)
    finally:
        server.kill()


def test_who_may_not_is_told_why(publisher: Publisher, tmp_path: Path) -> None:
    cert, key = certificates(tmp_path)
    (tmp_path / "other").mkdir()
    wrong_ca, _ = certificates(tmp_path / "other")
    (tmp_path / "right").write_text("secret-secret\n")
    (tmp_path / "wrong").write_text("guess\n")
    server = NatsServer(
        tmp_path / "nats",
        f"authorization {{ user: hall, password: secret-secret }}\n"
        f'tls {{ cert_file: "{cert}", key_file: "{key}" }}',
    )
    server.start()
    url = f"tls://localhost:{server.port}"
    right = ("--ca", str(cert), "--user", "hall", "--password-file", str(tmp_path / "right"))
    cases = {
        "it does not know us": (url, *right[:4], "--password-file", str(tmp_path / "wrong")),
        "its certificate is not trusted": (url, "--ca", str(wrong_ca), *right[2:]),
        "is not trusted": (server.url, *right[2:]),  # TLS all the same: the server wants it
    }
    try:
        for number, (words, (where, *options)) in enumerate(cases.items()):
            (folder := tmp_path / str(number)).mkdir()
            with bridging(publisher, where, folder, *options) as bridge:
                assert "trying again" in bridge.says(words)
        assert fill(url, tmp_path / "lake", "--once", *right).returncode == 0
        publisher.publish(emotion())
        with bridging(publisher, url, tmp_path, *right):
            until(
                lambda: fill(url, tmp_path / "lake", "--once", *right) and keys(tmp_path / "lake")
            )
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (["http://a"], "expected nats://HOST or tls://HOST"),
        (["nats://a", "--ca", "x"], "a CA, but no TLS; use tls://a:4222"),
        (["nats://a", "--password-file", "x"], "a password file, but no user"),
        (["nats://a", "--credentials", "x", "--user", "y"], "leave one of them out"),
        (["nats://a", "--credentials", "/none"], "credentials /none: No such file"),
        (["nats://a", "--site", "x" * 200], "nats.site: expected at most 120"),
        ([], "nats.server: no server is named"),
    ],
)
def test_what_cannot_be_is_refused(options: list[str], refusal: str) -> None:
    done = subprocess.run([*EDGESER, "bridge", "nats", *options], capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert refusal in done.stderr


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30), st.text(max_size=30))
def test_any_name_gives_a_subject_that_says_it_back(site: str, name: str, stream: str) -> None:
    subject = Device(site, name).subject(msgspec.structs.replace(emotion(), stream=stream))
    found = origin(subject)
    assert found is not None
    assert found.type == "final"
    assert not set(subject) & set(" *>\t\n")
    assert subject.isascii()
    if not (set(site + name) - set("abc-_09")) and not (site + name).startswith("-"):
        assert found[:2] == (site, name) or "-" in site + name


def test_urls() -> None:
    assert parse_url("hub") == ("hub", 4222, False)
    assert parse_url("tls://[::1]:99") == ("::1", 99, True)
    for wrong in ("nats://", "nats://a:0", "nats://a/b", "nats://a b", "tls://a,b"):
        with pytest.raises(UserError, match="expected nats://HOST"):
            parse_url(wrong)
