"""``edgeser bridge mqtt`` against a real broker: what arrives."""

from __future__ import annotations

import json
import signal
from datetime import datetime
from pathlib import Path

import msgspec

from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import decode
from tests.bridges.commands import PATIENCE_S, until
from tests.bridges.mosquitto import Consumer, Mosquitto
from tests.bridges.mqtt_bridge import LABELS, ROOT, alive, say, to_mqtt
from tests.events.helpers import emotion, fault, speech, status

DEVICE = "homeassistant/device/edgeser_pi_mic/config"


def last_state(consumer: Consumer) -> bytes:
    """Empty before the first one."""
    return b"".join(consumer.payloads(f"{ROOT}/mic/state")[-1:])


def test_events_arrive_as_published_and_the_state_is_retained(
    publisher: Publisher, broker: Mosquitto, consumer: Consumer, tmp_path: Path
) -> None:
    with to_mqtt(publisher, broker.address, tmp_path):
        alive(publisher, consumer)
        say(publisher, speech(), emotion(kind="partial"), emotion(), fault())
        final = decode(consumer.wait_for(f"{ROOT}/mic/final"))
        assert (final.epoch, final.seq) == (publisher.epoch, 2)
        assert decode(consumer.wait_for(f"{ROOT}/mic/speech")).seq == 1
        assert decode(consumer.wait_for(f"{ROOT}/mic/fault")).seq == 1
        until(lambda: b'"emotion":"happy"' in last_state(consumer))
        state = json.loads(last_state(consumer))
        assert state["confidence"] == 85.0
        assert state["problem"] == "OFF"
        publisher.publish(msgspec.structs.replace(status(), state="no_audio"))
        until(lambda: b'"problem":"ON"' in last_state(consumer))
        publisher.publish(msgspec.structs.replace(status(), muted=True))
        until(lambda: b'"muted":"ON"' in last_state(consumer))
        late = Consumer(broker.port, client_id="late")
        late.wait_for(f"{ROOT}/mic/state")
        late.wait_for(f"{ROOT}/cursor")
        late.close()
        told = {topic for topic, _, retained in late.messages if retained}
        assert f"{ROOT}/mic/final" not in told


def test_a_bridge_begins_with_what_came_since_a_time(
    publisher: Publisher, broker: Mosquitto, consumer: Consumer, tmp_path: Path
) -> None:
    say(publisher, fault("old"), fault("older than asked for"))
    until(lambda: publisher.last_seq().get("status.mic") == 1)
    moment = datetime.now().astimezone().isoformat()
    say(publisher, fault("new"))
    with to_mqtt(publisher, broker.address, tmp_path, "--since", moment):
        assert b'"new"' in consumer.wait_for(f"{ROOT}/mic/fault")
    assert len(consumer.payloads(f"{ROOT}/mic/fault")) == 1


def test_home_assistant_is_told_of_each_stream_and_again_at_its_birth(
    publisher: Publisher, broker: Mosquitto, consumer: Consumer, tmp_path: Path
) -> None:
    with to_mqtt(publisher, broker.address, tmp_path):
        alive(publisher, consumer)
        described = json.loads(consumer.wait_for(DEVICE))
        components = described["components"]
        sensors = {"emotion", "confidence", "valence", "arousal"}
        assert set(components) == sensors | {"speech", "problem", "muted", "final"}
        assert components["emotion"]["options"] == [*LABELS, "unknown"]
        assert components["final"]["event_types"] == [*LABELS, "unknown"]
        assert described["origin"]["name"] == "edgeser"
        consumer.publish(f"{ROOT}/availability", "", retain=True)  # removes it
        consumer.publish("homeassistant/status", "online")
        consumer.wait_for(DEVICE, count=2)
        consumer.wait_for(f"{ROOT}/availability", b"online", count=2)
        until(lambda: len(consumer.payloads(f"{ROOT}/mic/state")) > 1)


def test_a_start_describes_a_stream_once_with_all_that_it_has(
    publisher: Publisher, broker: Mosquitto, consumer: Consumer, tmp_path: Path
) -> None:
    with to_mqtt(publisher, broker.address, tmp_path):
        alive(publisher, consumer)
        say(publisher, msgspec.structs.replace(emotion(), valence=0.25, arousal=-0.5))
        until(lambda: b'"valence":0.25' in last_state(consumer))
    (described,) = consumer.payloads(DEVICE)
    assert json.loads(described)["components"]["valence"]["name"] == "Valence"


def test_what_is_not_there_is_said_to_be_unavailable(
    publisher: Publisher, broker: Mosquitto, consumer: Consumer, tmp_path: Path
) -> None:
    with to_mqtt(publisher, broker.address, tmp_path) as bridge:
        alive(publisher, consumer)
        consumer.wait_for(f"{ROOT}/availability", b"online")
        publisher.publish(msgspec.structs.replace(status(), state="stopping"))
        consumer.wait_for(f"{ROOT}/mic/availability", b"offline")
        bridge.process.kill()
        consumer.wait_for(f"{ROOT}/availability", b"offline")  # the last will
    with to_mqtt(publisher, broker.address, tmp_path) as bridge:
        consumer.wait_for(f"{ROOT}/availability", b"online", count=2)
        bridge.process.send_signal(signal.SIGTERM)
        assert bridge.process.wait(PATIENCE_S) == 0
        consumer.wait_for(f"{ROOT}/availability", b"offline", count=2)


def test_stream_names_that_no_topic_may_have_are_made_safe(
    publisher: Publisher, broker: Mosquitto, consumer: Consumer, tmp_path: Path
) -> None:
    with to_mqtt(publisher, broker.address, tmp_path, "--discovery", "off"):
        alive(publisher, consumer)
        names = ["a/b", "a b", "a+#", "küche", "\x00", "$SYS"]
        say(publisher, *[emotion(stream=name) for name in names])

        def finals() -> dict[str, str]:
            told = [(t, p) for t, p, _ in consumer.messages if t.endswith("/final")]
            return {topic: decode(payload).stream for topic, payload in told}

        until(lambda: len(finals()) == len(names))
        assert sorted(finals().values()) == sorted(names)
        for topic in finals():
            assert all(
                part.replace("-", "").replace("_", "").isalnum() for part in topic.split("/")
            )
            assert topic.isascii()
    assert not [topic for topic, _, _ in consumer.messages if topic.startswith("homeassistant")]
