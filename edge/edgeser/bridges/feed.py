"""Events for a receiver, from where it acknowledged them last: a subscriber with a cursor."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from edgeser.bridges.cursor import Cursor
from edgeser.bridges.position_file import PositionFile
from edgeser.events.schema import (
    EMOTION_PREFIX,
    FAULT_PREFIX,
    SPEECH_PREFIX,
    STATUS_PREFIX,
    is_kept,
)
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.catch_up import Position
from edgeser.events.subscribe.subscriber import Received, Subscriber

TOPICS = (EMOTION_PREFIX, SPEECH_PREFIX, FAULT_PREFIX, STATUS_PREFIX)
"""Topics of a bridge. Levels are left out: they are measured only on demand."""

SAVE_INTERVAL_S = 1.0
SILENT_S = 10.0
"""A daemon publishes its status every second: one that is silent for this long has stopped."""


@dataclass(frozen=True)
class Upstream:
    """Where the events come from, and how far the other side has them.

    ``subscribe`` makes a subscriber of ``TOPICS`` that begins after a position. ``start``: where to
    begin when neither the other side nor ``file`` says; None: with what comes next.
    """

    subscribe: Callable[[Position | None], Subscriber]
    file: PositionFile
    start: Position | None = None


class Delivery(NamedTuple):
    """Something for the receiver. ``ticket``, if any, must be acknowledged."""

    item: Received
    payload: bytes
    ticket: int | None


class Feed:
    """The events of the daemon, in order within each topic.

    Kept events (finals, speech events, faults) come at least once, others as they are published.

    The daemon's journal is the only queue: a new feed begins where the receiver's acknowledgements
    ended, and a bridge that is not ready for more does not call ``next``.
    """

    def __init__(
        self,
        subscribe: Callable[[Position | None], Subscriber],
        file: PositionFile,
        start: Position | None,
        *,
        silent_s: float = SILENT_S,
    ) -> None:
        """``subscribe`` makes a subscriber of ``TOPICS`` that begins after a position.

        ``silent_s``: nothing for longer is trouble.
        """
        self._subscriber = subscribe(start)
        self._file = file
        self._cursor = Cursor(start)
        self._silent_s = silent_s
        self._silence_s = 0.0
        """How long ``next`` has waited in vain. Time in which nobody calls it does not count."""
        self.save()

    @property
    def position(self) -> Position | None:
        """Everything before it is acknowledged."""
        return self._cursor.position

    @property
    def in_flight(self) -> int:
        """Events that were handed over and are not acknowledged."""
        return self._cursor.in_flight

    @property
    def trouble(self) -> str:
        """Why nothing comes from the daemon; empty if events do."""
        if (absent := self._subscriber.trouble) is not None:
            return str(absent)
        if self._silence_s <= self._silent_s:
            return ""
        return f"nothing has come for {self._silence_s:.0f} s; see whether the daemon runs"

    def next(self) -> Delivery | None:
        """The next event; None if none arrived within the subscriber's ``timeout_s``."""
        began = time.monotonic()
        try:
            item = next(self._subscriber)
        except TimeoutError:
            self._silence_s += time.monotonic() - began
            self.save_when_due()
            return None
        self._silence_s = 0.0
        behind = self._subscriber.position
        ticket = None
        if isinstance(item, Gap) or not is_kept(item):
            self._cursor.pass_by(behind)
        else:
            ticket = self._cursor.hand_over(behind)
        self.save_when_due()
        return Delivery(item, self._subscriber.payload, ticket)

    def acknowledge(self, ticket: int) -> None:
        """The receiver has that event for good."""
        self._cursor.acknowledge(ticket)

    def save_when_due(self) -> None:
        """Save the position once in a while."""
        if time.monotonic() - self._saved_at >= SAVE_INTERVAL_S:
            self.save()

    def save(self) -> None:
        """Save the position now."""
        self._saved_at = time.monotonic()
        self._file.save(self.position)

    def close(self) -> None:
        """Save the position and disconnect."""
        self.save()
        self._subscriber.close()
