"""Full disks of the bridge, of the lake and of the server: one line, and on it goes with room."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.request import urlopen

import nats
import pytest

from edgeser.events.publish.publisher import Publisher
from tests.bridges.commands import Running, fill, filling, keys, to_nats, until
from tests.bridges.mosquitto import OPEN as ANYBODY
from tests.bridges.mosquitto import PERSISTENT, Consumer, Mosquitto
from tests.bridges.mqtt_bridge import ROOT, alive, say, to_mqtt
from tests.bridges.nats_server import NatsServer, durability, version
from tests.disks import filled
from tests.events.helpers import emotion
from tests.ports import free_port

EVENTS = 300


def test_a_full_disk_for_the_cursor_stops_nothing(
    publisher: Publisher, broker: Mosquitto, consumer: Consumer, small_disk: Path
) -> None:
    (here := small_disk / "here").mkdir()
    cursor = ("--cursor", str(here / "cursor"))
    with to_mqtt(publisher, broker.address, small_disk.parent, *cursor) as bridge:
        alive(publisher, consumer)
        filler = filled(small_disk)
        say(publisher, emotion(), emotion())
        bridge.says("cannot be written: No space left on device; events are still forwarded")
        say(publisher, emotion())
        consumer.wait_for(f"{ROOT}/mic/final", count=3)
        assert sum("cannot be written" in line for line in bridge.log) == 1
        filler.unlink()
        say(publisher, emotion())
        bridge.says("is written again")


def test_a_broker_whose_disk_is_full_goes_on(publisher: Publisher, small_disk: Path) -> None:
    broker = Mosquitto(small_disk / "mosquitto", PERSISTENT + ANYBODY)
    broker.start()
    consumer = Consumer(broker.port)
    try:
        with to_mqtt(publisher, broker.address, small_disk.parent) as bridge:
            alive(publisher, consumer)
            filled(small_disk)
            say(publisher, *[emotion() for _ in range(EVENTS)])
            until(lambda: len(set(consumer.payloads(f"{ROOT}/mic/final"))) == EVENTS)
            assert len(bridge.log) == 1, bridge.log  # that it is connected
    finally:
        consumer.close()
        broker.kill()


def test_a_server_whose_disk_is_full_is_waited_for(
    publisher: Publisher, small_disk: Path, tmp_path: Path
) -> None:
    if not durability():
        pytest.skip(f"nats-server {version()} gives no answer on a full disk, nor afterwards")
    server = NatsServer(small_disk / "nats", jetstream="max_file: 1GB")
    server.start()
    lake = tmp_path / "lake"
    try:
        assert fill(server.url, lake, "--once", "--stream-gb", "0.5").returncode == 0
        filler = filled(small_disk, but_bytes=100_000)
        for number in range(EVENTS):
            publisher.publish(emotion(number + 1))
        with to_nats(publisher, server.url, tmp_path) as bridge:
            assert "no space left on device; trying again" in bridge.says("it takes no events")
            filler.unlink()
            with filling(server.url, lake):
                until(lambda: len(keys(lake)) == EVENTS)
            assert sum("it takes no events" in line for line in bridge.log) == 1
    finally:
        server.kill()


def test_a_lake_whose_disk_is_full_waits_and_goes_on(
    publisher: Publisher, server: NatsServer, small_disk: Path, tmp_path: Path
) -> None:
    lake, metrics = small_disk / "lake", f"127.0.0.1:{free_port()}"
    command = ("lake", "fill", server.url, "-o", str(lake), "--every", "1", "--metrics", metrics)
    filling = Running(tmp_path / "lake.log", *command)

    def total(name: str) -> float:
        with urlopen(f"http://{metrics}/metrics") as answer:
            lines = dict(line.rsplit(b" ", 1) for line in answer if not line.startswith(b"#"))
        return float(lines[f"edgeser_lake_{name}_total".encode()])

    async def send_what_is_no_event() -> None:
        client = await nats.connect(server.url)
        await client.jetstream().publish("edgeser.berlin.hall.final.mic", b"{")
        await client.close()

    try:
        filling.says("the lake takes from the stream")
        filler = filled(small_disk)
        asyncio.run(send_what_is_no_event())
        with to_nats(publisher, server.url, tmp_path):
            for number in range(EVENTS):
                publisher.publish(emotion(number + 1))
            until(lambda: total("connections") > 1)  # it has tried again
            filler.unlink()
            until(lambda: len(keys(lake)) == EVENTS)
        until(lambda: total("rejected") == 1)
        assert (total("rows"), total("known")) == (EVENTS, 0)
        log = filling.log[1:]  # after that the stream was made
        said = (
            "takes from",
            f"lake {lake}: No space left",
            "written again",
            "not events of edgeser",
        )
        assert len(log) == len(said), log
        assert all(part in line for part, line in zip(said, log, strict=True)), log
    finally:
        filling.kill()
