"""An intake: one source and its stream, and the account of both."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from edgeser.audio.source import AudioBlock, AudioFault, Source
from edgeser.daemon.backlog import Backlog
from edgeser.events.schema import Counters, EmotionEvent, Event, FaultEvent, State, StatusEvent
from edgeser.stream import Stream, StreamOutput, Window

log = logging.getLogger(__name__)

DEAF_AFTER_S = 2.0
"""No block for so long is ``no_audio``, whatever the source says of itself."""

DEGRADED_FOR_S = 10.0
"""How long a dropped window or a failed inference shows in the state."""

RENEWED_WITHIN_S = 10.0
"""How long new settings wait for the end of a segment."""


class Intake:
    """Hears a source, puts its windows into the backlog, and knows how the stream is.

    ``listen``, or ``hear`` and ``end``, belong to one thread; the other methods to any.
    """

    def __init__(
        self, source: Source, stream: Stream, backlog: Backlog, publish: Callable[[Event], None]
    ) -> None:
        self.source = source
        self.stream = stream
        self.ended = threading.Event()
        self.drops: Counter[str] = Counter()
        """Partials dropped so far, by reason."""
        self.last: EmotionEvent | None = None
        """The last emotion event."""
        self.lost: str | None = None
        """Why the source gives no sound, while it tries to."""
        self._renewal: tuple[float, Callable[[Stream], Stream]] | None = None
        self._backlog = backlog
        self._publish = publish
        self._started_at = time.monotonic()
        self._heard_at: float | None = None
        self._troubled_at: float | None = None
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._told: Counter[tuple[str, str]] = Counter()

    @property
    def counters(self) -> Counters:
        """Totals since the start."""
        counts = self._counts
        return Counters(
            samples=counts["samples"],
            lost_samples=counts["lost_samples"],
            overflows=counts["overflows"],
            restarts=self.source.restarts,
            segments=counts["segments"],
            partials=counts["partial"],
            finals=counts["final"],
            dropped_windows=counts["dropped_windows"],
            faults=counts["faults"],
        )

    @property
    def is_deaf(self) -> bool:
        """No sound arrives, though it should by now."""
        age_s = self.frame_age_s
        if age_s is None:
            return time.monotonic() - self._started_at > DEAF_AFTER_S
        return age_s > DEAF_AFTER_S

    @property
    def frame_age_s(self) -> float | None:
        """Seconds since the last block; None before the first."""
        return None if self._heard_at is None else time.monotonic() - self._heard_at

    @property
    def state(self) -> State:
        """How the stream is, as the status event says it."""
        if self.is_deaf or self.ended.is_set():
            return "no_audio"
        if self._heard_at is None:
            return "starting"
        troubled = self._troubled_at
        if troubled is not None and time.monotonic() - troubled < DEGRADED_FOR_S:
            return "degraded"
        return "speech" if self.stream.in_speech else "listening"

    def listen(self) -> None:
        """Hear the source to its end. Raises UserError when it cannot be opened."""
        for item in self.source.blocks():
            self.hear(item)
        self.end()

    def hear(self, item: AudioBlock | AudioFault) -> None:
        """Take what the source gave next."""
        if isinstance(item, AudioFault):
            self.lost = None if item.recovered else item.message
            if item.code == "audio_lost":  # nobody knows how long: the final does not wait for it
                self._route(self.stream.break_off())
            self.fault(item.code, item.message, recovered=item.recovered)
            return
        if self._heard_at is None:
            log.info("ready: %s is heard", self.stream.name)
        self._heard_at = time.monotonic()
        self._counts["samples"] += len(item.samples)
        self._counts["lost_samples"] += max(0, item.first_sample - self.stream.position)
        self._counts["overflows"] += item.overflowed
        self._route(self.stream.push(item))
        if self._renewal is not None:
            self._renew(*self._renewal)

    def end(self) -> None:
        """The source has ended: so does the open segment."""
        self._route(self.stream.finish())
        self.ended.set()

    def renew(self, successor: Callable[[Stream], Stream]) -> None:
        """Go on with ``successor(stream)`` as soon as no segment is open.

        After ``RENEWED_WITHIN_S`` of unbroken speech the open segment is ended for it, its final
        published.
        """
        self._renewal = (time.monotonic(), successor)

    def fault(self, code: str, message: str, *, recovered: bool) -> None:
        """Publish and log what happened to this stream."""
        self._counts["faults"] += 1
        log.log(logging.INFO if recovered else logging.WARNING, "%s: %s", code, message)
        self._publish(
            FaultEvent(stream=self.stream.name, code=code, message=message, recovered=recovered)
        )

    def decided(self, event: EmotionEvent) -> None:
        """A window of this stream became an event."""
        self._counts[event.kind] += 1
        self.last = event

    def failed(self, window: Window, error: Exception) -> None:
        """The model gave no scores for a window of this stream."""
        self._troubled_at = time.monotonic()
        self._failures[f"{window.kind}: {error}"] += 1

    def report(self, *, stopping: bool) -> None:
        """Publish what went wrong since the last report, summed up, and the status."""
        for reason, windows in self._new("dropped", self.drops):
            message = f"{windows} partial windows dropped: {reason}"
            self.fault("window_dropped", message, recovered=True)
        for reason, windows in self._new("failed", self._failures):
            message = f"{windows} windows without scores, {reason}"
            self.fault("inference_failed", message, recovered=False)
        age_s = self.frame_age_s
        self._publish(
            StatusEvent(
                stream=self.stream.name,
                state="stopping" if stopping else self.state,
                frame_age_s=None if age_s is None else round(age_s, 3),
                uptime_s=round(time.monotonic() - self._started_at, 3),
                position_s=self.stream.position_s,
                counters=self.counters,
                model=self.stream.model.ref,
                backend=self.stream.model.backend.name,
                backend_reason=self.stream.model.reason,
            )
        )

    def _new(self, what: str, totals: Counter[str]) -> list[tuple[str, int]]:
        """What was added to the totals since the last time."""
        added = []
        for reason, total in list(totals.items()):
            new = total - self._told[what, reason]
            self._told[what, reason] = total
            if new:
                added.append((reason, new))
        return added

    def _renew(self, asked_at: float, successor: Callable[[Stream], Stream]) -> None:
        if self.stream.in_speech:
            if time.monotonic() - asked_at < RENEWED_WITHIN_S:
                return
            self._route(self.stream.break_off())
        self._renewal = None
        self.stream = successor(self.stream)

    def _route(self, outputs: list[StreamOutput]) -> None:
        for output in outputs:
            if not isinstance(output, Window):
                self._counts["segments"] += output.state == "start"
                self._publish(output)
                continue
            if self._backlog.put(output):
                first = "the final of its segment" if output.kind == "final" else "a newer one"
                self._drop(f"{first} came first")
            if not self.source.live:
                self._backlog.wait_until_idle()

    def _drop(self, reason: str) -> None:
        self.stream.dropped(windows=1)
        self._counts["dropped_windows"] += 1
        self.drops[reason] += 1
        self._troubled_at = time.monotonic()
