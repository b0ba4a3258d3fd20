"""``edgeser bridge mqtt`` against a real broker: what is retained stays true."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from edgeser.bridges.feed import TOPICS, Upstream
from edgeser.bridges.mqtt import session
from edgeser.bridges.mqtt.address import Broker
from edgeser.bridges.mqtt.bridge import MqttBridge
from edgeser.bridges.mqtt.topics import Topics
from edgeser.bridges.position_file import PositionFile
from edgeser.events.publish.publisher import Publisher
from edgeser.events.subscribe.subscriber import Subscriber
from tests.bridges.commands import PATIENCE_S, until
from tests.bridges.mosquitto import OPEN, PERSISTENT, Consumer, Mosquitto
from tests.bridges.mqtt_bridge import LABELS, ROOT, alive, say, to_mqtt
from tests.events.helpers import emotion, status

STATE = f"{ROOT}/mic/state"


@contextmanager
def impatient(
    publisher: Publisher, broker: Mosquitto, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A bridge in this process to which a second is a long silence."""
    monkeypatch.setattr(session, "SILENT_S", 1.0)
    plan = session.Plan(
        Upstream(
            lambda since: Subscriber(publisher.endpoints[0], TOPICS, 0.1, since=since),
            PositionFile(folder / "mqtt.cursor"),
        ),
        Broker("127.0.0.1", broker.port),
        Topics("edgeser", "pi"),
        discovery_prefix="homeassistant",
    )
    bridge = MqttBridge(plan, lambda: None)
    thread = threading.Thread(target=bridge.run)
    thread.start()
    try:
        yield
    finally:
        bridge.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.mark.parametrize("is_renamed", [False, True], ids=["no daemon", "renamed"])
def test_a_stream_that_a_killed_bridge_left_online_is_taken_back(
    is_renamed: bool,
    publisher: Publisher,
    broker: Mosquitto,
    consumer: Consumer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer.publish(f"{ROOT}/mic/availability", "online", retain=True)
    consumer.publish(STATE, '{"emotion":"angry"}', retain=True)
    consumer.publish("edgeser/other/mic/availability", "online", retain=True)
    consumer.publish("homeassistant/status", "online", retain=True)
    with impatient(publisher, broker, tmp_path, monkeypatch):

        def taken_back() -> bool:
            if is_renamed:
                publisher.publish(msgspec.structs.replace(status(stream="door"), labels=LABELS))
            return b"offline" in consumer.payloads(f"{ROOT}/mic/availability")

        until(taken_back)
        if is_renamed:
            consumer.wait_for(f"{ROOT}/door/availability", b"online")
    consumer.wait_for(f"{ROOT}/availability", b"offline")
    assert consumer.payloads(STATE) == [b'{"emotion":"angry"}']
    assert consumer.payloads("edgeser/other/mic/availability") == [b"online"]
    assert consumer.payloads("homeassistant/status") == [b"online"]


def test_a_bridge_that_is_stopped_takes_its_streams_along(
    publisher: Publisher, broker: Mosquitto, consumer: Consumer, tmp_path: Path
) -> None:
    with to_mqtt(publisher, broker.address, tmp_path) as bridge:
        alive(publisher, consumer)
        bridge.process.send_signal(signal.SIGTERM)
        assert bridge.process.wait(PATIENCE_S) == 0
    late = Consumer(broker.port, client_id="late")
    try:
        late.wait_for(f"{ROOT}/availability", b"offline")
        late.wait_for(f"{ROOT}/mic/availability", b"offline")
    finally:
        late.close()


def test_what_is_known_of_a_stream_survives_the_brokers_restart(
    publisher: Publisher, tmp_path: Path
) -> None:
    broker = Mosquitto(tmp_path / "mosquitto", OPEN + PERSISTENT)
    broker.start()
    consumer = Consumer(broker.port)

    def states() -> list[dict[str, object]]:
        """What was told since the broker was started last, without what it had retained."""
        with consumer.changed:
            told = [p for t, p, retained in consumer.messages if t == STATE and not retained]
        return [json.loads(payload) for payload in told]

    def restarted(*meanwhile: str) -> dict[str, object]:
        broker.save()
        broker.kill()
        with consumer.changed:
            consumer.messages.clear()
        for label in meanwhile:
            publisher.publish(emotion(label=label))
        broker.start()

        def told() -> bool:
            say(publisher)
            return bool(states())

        until(told)
        return states()[0]

    try:
        with to_mqtt(publisher, broker.address, tmp_path):
            alive(publisher, consumer)
            say(publisher, msgspec.structs.replace(emotion(kind="partial"), valence=0.25))
            until(lambda: any(state["emotion"] == "happy" for state in states()))
            first = restarted()
            assert (first["emotion"], first["confidence"], first["valence"]) == ("happy", 85, 0.25)
            described = json.loads(consumer.wait_for("homeassistant/device/edgeser_pi_mic/config"))
            assert "valence" in described["components"]
            assert restarted("sad", "angry")["emotion"] == "angry"
    finally:
        consumer.close()
        broker.kill()
