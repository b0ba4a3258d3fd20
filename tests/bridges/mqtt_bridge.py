"""A bridge to MQTT, and statuses until it is heard."""

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
    """A bridge of the node ``pi``."""
    with bridging("mqtt", publisher, broker, folder, "--node", "pi", *options) as bridge:
        yield bridge


def say(publisher: Publisher, *events: Event) -> None:
    """Publish events, then how the daemon is: after a while the bridge is up to date."""
    for event in events:
        publisher.publish(event)
    publisher.publish(msgspec.structs.replace(status(), labels=LABELS))


def alive(publisher: Publisher, consumer: Consumer) -> None:
    """Publish statuses until the bridge is seen to hear them."""

    def heard() -> bool:
        say(publisher)
        return b"online" in consumer.payloads(f"{ROOT}/mic/availability")

    until(heard)
