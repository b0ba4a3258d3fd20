"""The subjects under which a fleet publishes. Pure.

``edgeser.SITE.DEVICE.TYPE.STREAM``, where the type is final, speech or fault, which are stored, or
status, which is not. Names are made safe as for MQTT: no dots, stars or blanks.
"""

from __future__ import annotations

from typing import NamedTuple

from edgeser.bridges.mqtt.topics import safe_name
from edgeser.events.schema import AnyEvent, EmotionEvent

ROOT = "edgeser"
TYPES = ("final", "speech", "fault")
STORED = tuple(f"{ROOT}.*.*.{kind}.*" for kind in TYPES)
"""Subjects of the hub's stream."""

LAKE_INBOX = "_INBOX_lake"
"""Where the lake gets answers and events: not below the inbox of a device."""


class Device(NamedTuple):
    """A machine of a fleet, unique by site and name."""

    site: str
    name: str

    def subject(self, event: AnyEvent) -> str:
        """The subject of an event."""
        return f"{ROOT}.{safe_name(self.site)}.{safe_name(self.name)}.{_type(event)}." + safe_name(
            event.stream
        )

    @property
    def inbox(self) -> str:
        """It gets answers below this, so that it needs no permission to read other devices'."""
        return f"_INBOX.{safe_name(self.site)}.{safe_name(self.name)}"

    def message_id(self, event: AnyEvent) -> str:
        """Equal for an event that is delivered again, so that the server stores it once."""
        subject = self.subject(event).removeprefix(f"{ROOT}.")
        return f"{subject}:{event.epoch}:{event.seq}"


class Origin(NamedTuple):
    """The origin of an event, from its subject."""

    site: str
    device: str
    type: str


def origin(subject: str) -> Origin | None:
    """The publisher in a subject; None for a subject that is not ours."""
    parts = subject.split(".")
    if len(parts) != 5 or parts[0] != ROOT or parts[3] not in TYPES:
        return None
    return Origin(parts[1], parts[2], parts[3])


def _type(event: AnyEvent) -> str:
    return event.kind if isinstance(event, EmotionEvent) else event.type
