"""The sequence numbers of one publisher's events, and the fields that it fills in on sending."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

import msgspec

from edgeser.events.journal.answer import RunProgress
from edgeser.events.schema import EmotionEvent, Event, JournalRange, StatusEvent


class Numbering:
    """A random ``epoch``, and each topic's last number in it. One thread writes, any may read."""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._last_seq: dict[str, int] = {}
        self._last_kept: dict[str, int] = {}

    def live(self) -> RunProgress:
        """How far each topic is: an event counts once the journal has it and it was sent."""
        with self._lock:
            return RunProgress(self.epoch, dict(self._last_seq), dict(self._last_kept))

    def next(self, topic: str) -> int:
        """The number of the next event of a topic."""
        return self._last_seq.get(topic, 0) + 1

    def last_kept(self, topic: str) -> int:
        """The number of the last event of a topic that goes to the journal; 0 for none."""
        return self._last_kept.get(topic, 0)

    def sent(self, topic: str, seq: int, *, kept: bool) -> None:
        """An event has gone out."""
        with self._lock:
            self._last_seq[topic] = seq
            if kept:
                self._last_kept[topic] = seq

    def complete(
        self,
        event: Event,
        seq: int,
        *,
        captured_at: float | None,
        handed_over: float,
        journal: Callable[[], dict[str, JournalRange]] | None,
    ) -> Event:
        """The event as it is sent now.

        ``handed_over``: when the publisher got it (monotonic seconds). ``journal``: returns what
        the journal holds.
        """
        now = time.time()  # the only time in the event by a clock that may step
        if isinstance(event, EmotionEvent):
            latency = event.latency_ms
            sent_at = time.monotonic()
            publish = (sent_at - handed_over) * 1000
            if captured_at is None:
                stages = (latency.capture, latency.segment, latency.features, latency.queue)
                total = sum(stages) + latency.inference + publish
            else:
                total = max(0.0, sent_at - captured_at) * 1000
            latency = msgspec.structs.replace(
                latency, publish=round(publish, 3), total=round(total, 3)
            )
            return msgspec.structs.replace(
                event, epoch=self.epoch, seq=seq, time=now, latency_ms=latency
            )
        if isinstance(event, StatusEvent):
            return msgspec.structs.replace(
                event,
                epoch=self.epoch,
                seq=seq,
                time=now,
                last_seq=dict(self._last_seq),
                journal=journal() if journal else {},
            )
        return msgspec.structs.replace(event, epoch=self.epoch, seq=seq, time=now)
