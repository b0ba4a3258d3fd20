"""A bridge to MQTT, and events for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import Event
from tests.bridges.commands import Running, bridging, until
from tests.bridges.mosquitto import Consumer
from tests.events.helpers import status

LABELS = ["angry", "happy", "neutral", "sad"]
ROOT = "edgeser/pi"


@contextmanager
def to_mqtt(publisher: Publisher, broker: str, folder: Path, *options: str) -> Iterator[Running]:
    """A bridge to MQTT as the node ``pi``."""
    with bridging("mqtt", publisher, broker, folder, "--node", "pi", *options) as bridge:
        yield bridge


def say(publisher: Publisher, *events: Event) -> None:
    """Publish events, then a status, after which the bridge soon is up to date."""
    for event in events:
        publisher.publish(event)
    publisher.publish(msgspec.structs.replace(status(), labels=LABELS))


def alive(publisher: Publisher, consumer: Consumer) -> None:
    """Publish statuses until the bridge has announced the stream."""

    def heard() -> bool:
        say(publisher)
        return b"online" in consumer.payloads(f"{ROOT}/mic/availability")

    until(heard)
