"""The events that wait to be sent: any thread puts them in, the publisher's takes them out."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import NamedTuple

from edgeser.events.schema import Event, is_kept, topic_of

QUEUE_SIZE = 512
"""Waiting events above which those that are not kept are dropped before they get a number.

The thread sends an event in well under a millisecond and never waits for a subscriber, so this
many wait only if the machine stalls for seconds.
"""

QUEUE_LIMIT = 16_384
"""Waiting events (about 30 MB) above which even finals, speech events and faults are refused, with
an exception. Until then none of these is dropped.

A stream has a few of them a second at most: this many mean that the thread has not run for an hour.
"""


class Waiting(NamedTuple):
    """An event to send. Both times by the monotonic clock."""

    event: Event
    captured_at: float | None
    handed_over: float


class EventQueue:
    """First in, first out."""

    def __init__(self, size: int = QUEUE_SIZE) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._events: deque[Waiting] = deque()
        self._closed = False
        self._dropped: Counter[str] = Counter()

    def put(self, event: Event, captured_at: float | None) -> bool:
        """Add an event; returns whether the queue was empty, so that the thread must be woken.

        Raises ``RuntimeError`` when the queue is closed or nobody takes anything out of it.
        """
        waiting = Waiting(event, captured_at, time.monotonic())
        with self._lock:
            if self._closed:
                raise RuntimeError("the publisher is closed")
            length = len(self._events)
            if length >= self._size and not is_kept(event):
                self._dropped[topic_of(event)] += 1
                return False
            if length >= QUEUE_LIMIT:
                raise RuntimeError("the publisher's thread has stopped")
            self._events.append(waiting)
            return length == 0

    def take(self) -> Waiting | None:
        """The next event; None where none waits."""
        with self._lock:
            return self._events.popleft() if self._events else None

    def close(self) -> None:
        """Accept no more events; those that wait can still be taken out."""
        with self._lock:
            self._closed = True

    @property
    def is_over(self) -> bool:
        """Whether it is closed and empty."""
        with self._lock:
            return self._closed and not self._events

    def dropped(self) -> dict[str, int]:
        """Events dropped so far because too many waited, per topic."""
        with self._lock:
            return dict(self._dropped)
