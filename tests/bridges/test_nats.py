"""``edgeser bridge nats`` with a real nats-server, and a lake behind it."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
from pathlib import Path

import msgspec
import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.msg import Msg

from edgeser.bridges.nats.client import NatsError, connect
from edgeser.bridges.nats.server import parse_url, server_of
from edgeser.bridges.nats.subjects import Device, origin
from edgeser.errors import UserError
from edgeser.events.publish.publisher import Publisher
from tests.bridges.commands import EDGESER, PATIENCE_S, ask, fill, filling, keys, to_nats, until
from tests.bridges.nats_server import NatsServer
from tests.certificates import certificates
from tests.events.helpers import emotion, fault, speech

DOCUMENTED = Path(__file__).parents[2] / "docs" / "fleet.md"


def test_events_go_from_the_daemon_through_the_server_into_tables(
    publisher: Publisher, server: NatsServer, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    for event in (speech(), emotion(kind="partial"), emotion(), fault("deaf"), speech(end=2.0)):
        publisher.publish(event)
    for number in range(2, 7):
        publisher.publish(emotion(number, label="angry"))
    with filling(server.url, lake), to_nats(publisher, server.url, tmp_path) as bridge:
        bridge.says("connected")
        until(lambda: len(keys(lake)) == 6 and len(keys(lake, "faults")) == 1)
        until(lambda: len(keys(lake, "speech")) == 2)
        bridge.process.send_signal(signal.SIGTERM)
        assert bridge.process.wait(PATIENCE_S) == 0
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
    assert ask(lake, "day", "--device", "hall", "--day", "2001-09-09") == []
    assert ask(lake, "SELECT count(*) AS n FROM speech") == [{"n": 2}]
    views = subprocess.run([*EDGESER, "lake", "sql", str(lake)], capture_output=True, text=True)
    assert views.stdout.count("CREATE OR REPLACE VIEW") == 3


def test_nothing_is_lost_or_twice_when_server_bridge_and_lake_are_killed(
    publisher: Publisher, server: NatsServer, tmp_path: Path
) -> None:
    lake, turns, each = tmp_path / "lake", 2, 800
    for turn in range(turns):
        with filling(server.url, lake), to_nats(publisher, server.url, tmp_path) as bridge:
            for number in range(each):
                publisher.publish(emotion(turn * each + number + 1))
            until(lambda t=turn: len(keys(lake)) > t * each)
            server.kill()
            bridge.says("trying again")
        server.start()
    with filling(server.url, lake), to_nats(publisher, server.url, tmp_path):
        until(lambda: len(set(keys(lake))) == turns * each)
    # What was written and not acknowledged is delivered again, and left out.
    assert fill(server.url, lake, "--once").returncode == 0
    assert len(keys(lake)) == turns * each


def test_what_is_wrong_is_said_in_one_line_and_waited_for(
    publisher: Publisher, server: NatsServer, tmp_path: Path
) -> None:
    with to_nats(publisher, server.url, tmp_path) as bridge:
        publisher.publish(emotion())
        line = bridge.says("no stream stores our subjects")
        assert "trying again" in line
        with filling(server.url, tmp_path / "lake"):
            until(lambda: keys(tmp_path / "lake"))
        assert sum("no stream" in line for line in bridge.log) == 1
        bridge.says("events continue")
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
        with to_nats(publisher, server.url, tmp_path) as bridge:
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
        with to_nats(publisher, server.url, tmp_path) as bridge:
            bridge.says("takes 4096 bytes at most; larger events are skipped")
            with filling(server.url, lake):
                until(lambda: len(keys(lake, "faults")) == 1)
    finally:
        server.kill()


def test_who_may_not_is_told_why(publisher: Publisher, tmp_path: Path) -> None:
    cert, key = certificates(tmp_path)
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
            with to_nats(publisher, where, folder, *options) as bridge:
                assert "trying again" in bridge.says(words)
        assert fill(url, tmp_path / "lake", "--once", *right).returncode == 0
        publisher.publish(emotion())
        with to_nats(publisher, url, tmp_path, *right):
            until(
                lambda: fill(url, tmp_path / "lake", "--once", *right) and keys(tmp_path / "lake")
            )
    finally:
        server.kill()


def test_a_device_sees_nothing_of_another_nor_of_the_lake(
    publisher: Publisher, tmp_path: Path
) -> None:
    """With the users of docs/fleet.md; and one may listen to more than he should."""
    documented, *_ = re.findall(
        r"^authorization \{ users: \[\n(.*?)^\] \}",
        DOCUMENTED.read_text(),
        re.DOTALL | re.MULTILINE,
    )  # the hub's; then the one for a leaf node
    users = re.sub(r'password: "[^"]*"', 'password: "sesame-sesame"', documented)
    hall = users.splitlines()[0]
    attic, nosy = hall.replace("hall", "attic"), hall.replace("hall", "nosy")
    nosy = nosy.replace("_INBOX.berlin.nosy.>", "_INBOX.>")
    server = NatsServer(
        tmp_path / "nats", f"authorization {{ users: [\n{users}{attic}\n{nosy}\n] }}"
    )
    server.start()
    (tmp_path / "password").write_text("sesame-sesame\n")
    login = ("--password-file", str(tmp_path / "password"))
    lake, seen = tmp_path / "lake", dict[str, list[bytes]](attic=[], nosy=[])

    async def spy() -> None:
        refused: list[str] = []

        async def refuse(error: Exception) -> None:
            refused.append(str(error))

        clients = []
        for user, messages in seen.items():
            client = await nats.connect(
                server.url, user=user, password="sesame-sesame", error_cb=refuse
            )

            async def note(message: Msg, messages: list[bytes] = messages) -> None:
                messages.append(message.data)

            for subject in ("_INBOX.>", "_INBOX.berlin.hall.>", "_INBOX_lake.>", "edgeser.>"):
                await client.subscribe(subject, cb=note)
            for subject in ("edgeser.berlin.hall.final.mic", "$JS.API.STREAM.DELETE.EDGESER"):
                await client.publish(subject, b"")
            await client.flush()
            clients.append(client)
        await asyncio.to_thread(tell_and_fill)
        for client in clients:
            await client.flush()
            await client.close()
        assert len(refused) == 2 * 2 + 4 + 2

    def tell_and_fill() -> None:
        with filling(server.url, lake, "--user", "lake", *login):
            publisher.publish(emotion())
            with to_nats(publisher, server.url, tmp_path, "--user", "hall", *login):
                until(lambda: keys(lake))

    try:
        asyncio.run(spy())
    finally:
        server.kill()
    assert seen["attic"] == []
    assert seen["nosy"]  # that his event was stored, which hall was told
    assert not [message for message in seen["nosy"] if b"label" in message]


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


def test_the_longest_names_make_a_subject_that_a_server_takes() -> None:
    longest = Device("ä" * 120, "b c" * 40).subject(emotion(stream="x" * 119 + "!"))
    assert len(longest) < 450  # of the 4096 of a line, unless the server is set otherwise


def test_what_is_no_nats_server_is_said_to_be_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        async def answer_and_hang_up() -> None:
            loop = asyncio.get_running_loop()
            server = server_of(f"nats://127.0.0.1:{port}")
            connecting = asyncio.ensure_future(connect(server, "_INBOX", []))
            connection, _ = await loop.run_in_executor(None, listener.accept)
            connection.close()
            with pytest.raises(NatsError, match="no NATS server answers there"):
                await connecting

        asyncio.run(answer_and_hang_up())


def test_urls() -> None:
    assert parse_url("hub") == ("hub", 4222, False)
    assert parse_url("tls://[::1]:99") == ("::1", 99, True)
    for wrong in ("nats://", "nats://a:0", "nats://a/b", "nats://a b", "tls://a,b", "::1"):
        with pytest.raises(UserError, match="expected nats://HOST"):
            parse_url(wrong)
