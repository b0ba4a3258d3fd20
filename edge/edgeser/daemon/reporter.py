"""Counts what happens to one stream, and publishes its faults."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from edgeser.errors import one_line
from edgeser.events.schema import Counters, EmotionEvent, Event, FaultCode, FaultEvent
from edgeser.losses import Losses
from edgeser.window import Window

log = logging.getLogger(__name__)

DEGRADED_FOR_S = 10.0
"""How long a dropped window or a failed inference shows in the state."""

NEWER_FIRST, FINAL_FIRST = "a newer one came first", "the final of its segment came first"
"""Why a partial window is dropped."""

_NEEDS_ACTION: set[FaultCode] = {"settings_rejected", "restart_needed"}
"""Faults that are logged as warnings although nothing is lost: somebody has to act."""


class StreamReporter:
    """Totals, faults and the last emotion event of one stream; for any thread.

    ``losses``: what the next emotion event reports as lost. ``last``: the last emotion event.
    """

    def __init__(self, stream: str, losses: Losses, publish: Callable[[Event], None]) -> None:
        self.stream = stream
        self.losses = losses
        self.last: EmotionEvent | None = None
        self.publish = publish
        self._lock = threading.Lock()
        self._totals: Counter[str] = Counter()
        self._drops = Counter({NEWER_FIRST: 0, FINAL_FIRST: 0})
        self._drops_reported: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()  # since the last report
        self._troubled_at: float | None = None

    @property
    def totals(self) -> Counters:
        """Totals since the start, without ``restarts``, which the source counts."""
        with self._lock:
            return Counters(**self._totals)

    @property
    def drops(self) -> dict[str, int]:
        """Partials dropped so far, by reason."""
        with self._lock:
            return dict(self._drops)

    @property
    def is_degraded(self) -> bool:
        """A window was dropped, or got no scores, in the last ``DEGRADED_FOR_S``."""
        at = self._troubled_at
        return at is not None and time.monotonic() - at < DEGRADED_FOR_S

    def heard(self, samples: int, lost_samples: int, *, overflowed: bool) -> None:
        """Count a block, and the samples lost before it."""
        with self._lock:
            self._totals["samples"] += samples
        if lost_samples or overflowed:
            self._add(lost_samples=lost_samples, overflows=int(overflowed))

    def segment_began(self) -> None:
        """Count a segment that was announced."""
        self._add(segments=1)

    def segment_rejected(self) -> None:
        """Count a segment that was never confirmed."""
        self._add(rejected_segments=1)

    def decided(self, event: EmotionEvent) -> None:
        """Count the event of a window."""
        self.last = event
        self._add(finals=1) if event.kind == "final" else self._add(partials=1)

    def dropped(self, reason: str) -> None:
        """Count a partial window that was dropped."""
        self.losses.add(windows=1)
        self._add(dropped_windows=1)
        with self._lock:
            self._drops[reason] += 1
            self._troubled_at = time.monotonic()

    def failed(self, window: Window, error: Exception) -> None:
        """Count a window for which the model gave no scores."""
        with self._lock:
            self._failures[f"{window.kind}: {error}"] += 1
            self._troubled_at = time.monotonic()

    def fault(self, code: FaultCode, message: str, *, recovered: bool) -> None:
        """Publish and log what happened to the stream."""
        self._add(faults=1)
        message = one_line(message)  # a file's name or a library's error may hold newlines
        quiet = recovered and code not in _NEEDS_ACTION
        if code != "source_failed":  # the command prints it as its last line
            log.log(logging.INFO if quiet else logging.WARNING, "%s: %s", code, message)
        self.publish(
            FaultEvent(stream=self.stream, code=code, message=message, recovered=recovered)
        )

    def report_failures(self) -> None:
        """Publish a fault for all windows dropped and failed since the last call."""
        with self._lock:
            drops = self._drops - self._drops_reported
            failures, self._failures = self._failures, Counter()
            self._drops_reported = self._drops.copy()
        for reason, windows in drops.items():
            message = f"{windows} partial windows dropped: {reason}"
            self.fault("window_dropped", message, recovered=True)
        for reason, windows in failures.items():
            message = f"{windows} windows without scores, {reason}"
            self.fault("inference_failed", message, recovered=False)

    def _add(self, **more: int) -> None:
        with self._lock:
            for name, number in more.items():
                self._totals[name] += number
