"""``edgeser lake`` with a real nats-server."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import nats
import pyarrow
import pytest
from pyarrow import parquet

from edgeser.bridges.nats.server import server_of
from edgeser.bridges.nats.subjects import Device
from edgeser.events.schema import EmotionEvent
from edgeser.lake.fill import CONSUMER, STREAM, Filler
from edgeser.lake.queries import Lake
from edgeser.lake.store import FullError, Store
from edgeser.lake.tables import REJECTED, Message, Sorted, sort
from tests.bridges.commands import Running, fill, filling, keys, until
from tests.bridges.nats_server import NatsServer
from tests.events.helpers import PATIENCE_S, emotion, status
from tests.ports import free_port


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


def test_a_column_that_came_later_is_null_in_what_was_kept_before(tmp_path: Path) -> None:
    device = Device("berlin", "hall")
    quality = msgspec.structs.replace(emotion().quality, noise_probability=0.25)
    events = [
        msgspec.structs.replace(emotion(n), epoch="e", seq=n, quality=quality) for n in (1, 2)
    ]
    [(place, rows)] = sort(
        [Message(device.subject(event), msgspec.json.encode(event)) for event in events]
    ).rows.items()
    before = rows.slice(0, 1).drop_columns(["noise_probability"])
    store = Store(tmp_path)
    try:
        assert store.add(Sorted({place: before}, REJECTED.empty_table())) == 1
        assert store.add(Sorted({place: rows}, REJECTED.empty_table())) == 1
    finally:
        store.close()
    _, kept = Lake(tmp_path).ask("SELECT seq, noise_probability FROM finals ORDER BY seq")
    assert kept == [(1, None), (2, 0.25)]


def kept(lake: Path, *events: EmotionEvent) -> int:
    """How many rows a lake has taken of these events of one device."""
    device = Device("berlin", "hall")
    store = Store(lake)
    try:
        return store.add(
            sort([Message(device.subject(event), msgspec.json.encode(event)) for event in events])
        )
    finally:
        store.close()


def test_an_event_told_again_is_known_on_the_other_side_of_midnight(tmp_path: Path) -> None:
    midnight = 20_000 * 86400.0
    live, told = (
        [
            msgspec.structs.replace(emotion(n), epoch="e", seq=n, time=midnight + n - 2 + by_s)
            for n in (1, 2, 3)
        ]
        for by_s in (-0.016, 0.016)
    )
    assert kept(tmp_path, *live) == 3
    assert kept(tmp_path, *told) == 0
    assert kept(tmp_path / "other", *told) == 3
    assert kept(tmp_path / "other", *live) == 0
    assert kept(tmp_path / "at once", *live, *told) == 3


def truncated(part: Path) -> None:
    os.truncate(part, 500)


def of_others(part: Path) -> None:
    parquet.write_table(pyarrow.table({"x": [1]}), part)


def mangled(part: Path) -> None:
    content = bytearray(part.read_bytes())
    content[4:500] = bytes(496)
    part.write_bytes(content)


@pytest.mark.parametrize("damage", [truncated, of_others, mangled])
def test_a_damaged_part_is_set_aside_and_the_lake_goes_on(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (
        msgspec.structs.replace(emotion(n), epoch="e", seq=n, time=1e9) for n in (1, 2)
    )
    assert kept(tmp_path, first) == 1
    [part] = tmp_path.glob("finals/*/part-*.parquet")
    damage(part)
    content = part.read_bytes()
    assert kept(tmp_path, second) == 1
    assert kept(tmp_path, second) == 0
    [aside] = part.parent.glob("*.corrupt-*")
    assert aside.read_bytes() == content
    assert keys(tmp_path) == [("hall", "e", 2)]
    [said] = caplog.messages
    assert said == f"{part}: damaged, or not a part of a lake; it is now {aside.name}"


@pytest.mark.parametrize("name", [b"sensors:2026", b"caf\xe9 of\ntoday"])
def test_a_lake_of_any_name_knows_what_it_has(
    name: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    lake = Path(os.fsdecode(name))
    assert kept(lake, emotion()) == 1
    assert kept(lake, emotion()) == 0
    assert caplog.messages == []


def test_what_could_not_all_be_written_says_how_much_was(tmp_path: Path) -> None:
    events = [
        msgspec.structs.replace(emotion(n), epoch="e", seq=n, time=86400.0 * n + 40_000)
        for n in (1, 2)
    ]
    (in_the_way := tmp_path / "finals/day=1970-01-03").parent.mkdir()
    in_the_way.touch()
    with pytest.raises(FullError, match=f"lake {tmp_path}: File exists") as failed:
        kept(tmp_path, *events)
    assert failed.value.added == 1
    in_the_way.unlink()
    assert kept(tmp_path, *events) == 1


def test_what_a_killed_lake_left_is_removed(tmp_path: Path) -> None:
    assert kept(tmp_path, emotion()) == 1
    [part] = tmp_path.glob("finals/*/part-*.parquet")
    aside = part.with_name(".0123abcd.new")
    foreign = tmp_path / aside.name
    for file in (aside, foreign):
        file.touch()
    assert kept(tmp_path, emotion()) == 0
    assert (part.exists(), aside.exists(), foreign.exists()) == (True, False, True)


def test_others_may_not_read_a_lake(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    store = Store(lake)
    try:
        subject = Device("berlin", "hall").subject(emotion())
        store.add(sort([Message(subject, msgspec.json.encode(emotion())), Message(subject, b"{")]))
    finally:
        store.close()
    found = [lake, *lake.rglob("*")]
    assert sum(file.suffix == ".parquet" for file in found) == 2
    assert {file.stat().st_mode & 0o7777 for file in found if file.is_file()} == {0o640}
    assert {file.stat().st_mode & 0o7777 for file in found if file.is_dir()} == {0o750}


def test_what_is_no_event_is_set_aside(tmp_path: Path) -> None:
    subject = Device("a", "b").subject(emotion())
    wrong = [
        Message(subject, b"{"),
        Message(subject, msgspec.json.encode(status())),
        Message("edgeser.a", msgspec.json.encode(emotion())),
        *(
            Message(subject, msgspec.json.encode(msgspec.structs.replace(emotion(), **changed)))
            for changed in ({"time": 1e300}, {"seq": 2**63}, {"segment": 2**64 - 1})
        ),
        Message(subject, b'{"x":' + b"[" * 100_000),
    ]
    done = sort(wrong)
    assert not done.rows
    assert done.rejected["subject"].to_pylist() == [message.subject for message in wrong]


def test_what_is_no_event_is_kept_once_however_often_it_is_delivered(tmp_path: Path) -> None:
    subject = Device("a", "b").subject(emotion())
    wrong = [Message(subject, payload) for payload in (b"{", b"\xff", b"[")]
    store = Store(tmp_path)
    try:
        for told in (wrong[:2], wrong, [*wrong, *wrong]):
            assert store.add(sort(told)) == 0
    finally:
        store.close()
    kept = pyarrow.concat_tables(
        parquet.read_table(part) for part in tmp_path.glob("rejected/part-*.parquet")
    )
    assert sorted(kept["payload"].to_pylist()) == sorted(message.payload for message in wrong)


def test_messages_as_large_as_the_server_takes_keep_no_event_away(
    server: NatsServer, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    assert fill(server.url, lake, "--once", "--every", "3600").returncode == 0
    event = msgspec.structs.replace(emotion(), epoch="e", seq=1)
    subject = Device("berlin", "hall").subject(event)

    async def tell() -> None:
        client = await nats.connect(server.url)
        for _ in range(100):  # more than the server lets wait for one that reads
            await client.jetstream().publish(subject, bytes(1_000_000), timeout=60)
        await client.jetstream().publish(subject, msgspec.json.encode(event))
        await client.close()

    asyncio.run(tell())
    done = fill(server.url, lake, "--once", "--every", "3600")
    assert done.returncode == 0, done.stderr
    assert keys(lake) == [("hall", "e", 1)]


def test_it_gives_signs_of_life_while_it_writes(server: NatsServer, tmp_path: Path) -> None:
    assert fill(server.url, tmp_path / "first", "--once").returncode == 0
    event = msgspec.structs.replace(emotion(), epoch="e", seq=1)

    async def tell() -> None:
        client = await nats.connect(server.url)
        subject = Device("berlin", "hall").subject(event)
        await client.jetstream().publish(subject, msgspec.json.encode(event))
        await client.close()

    asyncio.run(tell())
    is_writing, lives = threading.Event(), threading.Event()

    class Slow(Store):
        def add(self, messages: Sorted) -> int:
            is_writing.set()
            assert lives.wait(PATIENCE_S)
            return super().add(messages)

    async def take() -> int:
        filler = Filler(
            server_of(server.url),
            store,
            every_s=60.0,
            once=True,
            stream_gb=1.0,
            on_turn=lambda: lives.set() if is_writing.is_set() else None,
        )
        await filler.run()
        return filler.figures.rows

    store = Slow(tmp_path / "lake")
    try:
        assert asyncio.run(take()) == 1
    finally:
        store.close()


def test_a_second_lake_in_one_folder_is_refused(server: NatsServer, tmp_path: Path) -> None:
    store = Store(tmp_path / "lake")
    try:
        done = fill(server.url, tmp_path / "lake", "--once")
        assert done.returncode == 2
        assert "fills it; stop that, or name another folder" in done.stderr
    finally:
        store.close()


def test_to_fill_it_once_ends_where_no_server_answers(tmp_path: Path) -> None:
    done = fill(f"nats://127.0.0.1:{free_port()}", tmp_path / "lake", "--once")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("edgeser: NATS server")
    assert line.endswith("cannot be reached")


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
        until(lambda: "another lake reads from it; stop that one" in said_by_the_second())


def test_a_lake_that_was_stopped_while_another_began_writes_no_more(
    server: NatsServer, tmp_path: Path
) -> None:
    seq = itertools.count(1)

    async def tell() -> None:
        client = await nats.connect(server.url)
        event = msgspec.structs.replace(emotion(), epoch="e", seq=next(seq))
        subject = Device("berlin", "hall").subject(event)
        await client.jetstream().publish(subject, msgspec.json.encode(event))
        await client.close()

    def the_first_says_so() -> bool:
        asyncio.run(tell())
        return any("another lake reads from it; stop that one" in line for line in first.log)

    with filling(server.url, tmp_path / "a") as first:
        first.process.send_signal(signal.SIGSTOP)
        try:
            with filling(server.url, tmp_path / "b") as second:
                second.says("the lake takes from the stream")
                first.process.send_signal(signal.SIGCONT)
                until(the_first_says_so)
                first.kill()
                until(lambda: keys(tmp_path / "b"))
        finally:
            first.process.send_signal(signal.SIGCONT)
    assert keys(tmp_path / "a") == []


def test_a_server_with_no_room_for_the_stream_says_how_it_fits(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats", jetstream="max_file_store: 100MB")
    server.start()
    try:
        done = fill(server.url, tmp_path / "lake", "--once")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done
        assert "no room for a stream of 10 GB; ask for less with --stream-gb" in done.stderr
        assert fill(server.url, tmp_path / "lake", "--once", "--stream-gb", "0.05").returncode == 0
    finally:
        server.kill()


def test_a_server_without_jetstream_is_said_to_have_none(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats")
    server.file.write_text(f"listen: 127.0.0.1:{server.port}\n")
    server.start()
    try:
        done = fill(server.url, tmp_path / "lake", "--once")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done
        assert "JetStream is not switched on there" in done.stderr
    finally:
        server.kill()
