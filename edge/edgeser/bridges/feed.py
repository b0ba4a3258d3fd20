"""Events for a receiver, from where it acknowledged them last: a subscriber with a cursor."""

from __future__ import annotations

import time
from collections.abc import Callable
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


class Delivery(NamedTuple):
    """Something for the receiver. ``ticket`` is to be acknowledged, where there is one."""

    item: Received
    payload: bytes
    ticket: int | None


class Feed:
    """The events of the daemon, in order within each topic.

    Kept events (finals, speech events, faults) come at least once, others as they are published.

    The daemon's journal is the only queue: a new feed begins where the receiver's acknowledgements
    ended, and whoever is not ready for more asks for no more.
    """

    def __init__(
        self,
        subscribe: Callable[[Position | None], Subscriber],
        file: PositionFile,
        start: Position | None,
    ) -> None:
        """``subscribe`` makes a subscriber of ``TOPICS`` that begins after a position."""
        self._subscriber = subscribe(start)
        self._file = file
        self._cursor = Cursor(start)
        self.save()

    @property
    def position(self) -> Position | None:
        """All before it is acknowledged."""
        return self._cursor.position

    @property
    def in_flight(self) -> int:
        """Events that were handed over and are not acknowledged."""
        return self._cursor.in_flight

    @property
    def trouble(self) -> str:
        """Why no daemon was heard so far; empty where one is there."""
        return str(self._subscriber.trouble or "")

    def next(self) -> Delivery | None:
        """The next event; None if none arrived within the subscriber's ``timeout_s``."""
        try:
            item = next(self._subscriber)
        except TimeoutError:
            self.save_when_due()
            return None
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
