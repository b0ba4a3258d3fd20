"""The topics, and what is published in each. Pure.

``<prefix>/<node>/availability``           online, offline (the last will)
``<prefix>/<node>/cursor``                 the last event delivered to the broker
``<prefix>/<node>/<stream>/availability``  online while the daemon gives signs of life
``<prefix>/<node>/<stream>/state``         the stream as it is
``<prefix>/<node>/<stream>/final``         finals as published; likewise ``speech`` and ``fault``
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from edgeser.errors import UserError
from edgeser.events.schema import AnyEvent, EmotionEvent

MAX_PREFIX = 200
"""With names of 120 characters a topic stays far below the 65,535 bytes that MQTT allows."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def safe_name(name: str) -> str:
    """A name for a topic and for Home Assistant, which take letters, digits, ``_`` and ``-``.

    A name that had to be changed gets a part of its hash, so that ``a/b`` and ``a b`` differ.
    """
    safe = _UNSAFE.sub("-", name).strip("-")
    if safe == name:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{safe}-{digest}" if safe else digest


@dataclass(frozen=True)
class Topics:
    """The topics of one node: a machine with its daemon."""

    prefix: str
    node: str

    @property
    def root(self) -> str:
        """The common prefix of all of them."""
        return f"{self.prefix}/{safe_name(self.node)}"

    @property
    def availability(self) -> str:
        """The topic that says whether the bridge is online."""
        return f"{self.root}/availability"

    @property
    def cursor(self) -> str:
        """The topic of the last event delivered to the broker."""
        return f"{self.root}/cursor"

    def stream_availability(self, stream: str) -> str:
        """The topic that says whether a stream's daemon is online."""
        return f"{self.root}/{safe_name(stream)}/availability"

    @property
    def stream_availabilities(self) -> str:
        """A topic filter for ``stream_availability`` of all streams."""
        return f"{self.root}/+/availability"

    def is_stream_availability(self, topic: str) -> bool:
        """Whether a topic matches that filter."""
        return topic.startswith(f"{self.root}/") and topic.endswith("/availability")

    def state(self, stream: str) -> str:
        """The topic of a stream's state."""
        return f"{self.root}/{safe_name(stream)}/state"

    def event(self, event: AnyEvent) -> str:
        """The topic of a kept event."""
        kind = event.kind if isinstance(event, EmotionEvent) else event.__struct_config__.tag
        return f"{self.root}/{safe_name(event.stream)}/{kind}"

    def final(self, stream: str) -> str:
        """The topic of a stream's finals."""
        return f"{self.root}/{safe_name(stream)}/final"


def check_prefix(key: str, prefix: str) -> None:
    """Check that topics may begin with this. Raises UserError naming the settings' ``key``."""
    bad = not prefix.isprintable() or any(character in prefix for character in "+#$ ")
    if not prefix or bad or prefix.strip("/") != prefix or len(prefix) > MAX_PREFIX:
        raise UserError(
            f"{key}: expected at most {MAX_PREFIX} printable characters without + # $ and blanks, "
            f"and no / at either end, got {prefix[:40]!r}"
        )
