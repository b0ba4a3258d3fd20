"""Where captured samples lie on the stream, so that stream seconds stay true to the clock."""

from __future__ import annotations

from edgeser.pcm import SAMPLE_RATE

_WINDOW_S = 2.0
_UNNOTICED_LOSS_S = 0.1
_CATCH_UP_S = 0.02
"""Lateness that falls by more from window to window is no clock drift: delayed sound arrives."""
_LOSS_WINDOWS = 3
"""After this many windows in a row without such a fall, lateness counts as a loss."""


class Timeline:
    """Gives each run of samples its position: never backwards, no position twice.

    Samples follow each other without a gap, except where some are known to be lost: after a
    restart, after an overflow, or when blocks come more than 0.1 s later without a reported reason.
    Such lateness is a loss if it has not fallen for three windows of 2 s in a row; if it falls, by
    more than 1 % of the time that passes, the sound was only delayed and still arrives. The gap is
    what the clock says was missed. A slow drift of the device's clock makes none.

    Blocks come late but never early: the earliest of the last seconds is taken as punctual.
    """

    def __init__(self) -> None:
        self.end = 0
        """Position after the last sample placed."""
        self._origin = 0.0
        self._earliest = 0.0
        self._earliest_before = 0.0
        self._window_ends = 0.0
        self._windows_since_fall = 0
        self._placed_any = False
        self._interrupted = True

    def interrupt(self) -> None:
        """The next samples come from a device that was opened again: some were lost."""
        self._interrupted = True

    def place(self, samples: int, captured_at: float, overflowed: bool) -> tuple[int, float]:
        """Place the next ``samples``, the last of which was captured at ``captured_at``.

        ``captured_at``: monotonic seconds, may be late. ``overflowed``: samples before these were
        dropped. Returns the position of the first one, and when the last one was captured, less
        the lateness.
        """
        if not self._placed_any:
            self._placed_any = True
            self._interrupted = False
            self._restart(captured_at - samples / SAMPLE_RATE, captured_at)
        observed = captured_at - (self.end + samples) / SAMPLE_RATE
        if self._interrupted or overflowed:
            lost = self._skip(observed - self._origin)
            self._restart(observed - lost / SAMPLE_RATE, captured_at)
            self._interrupted = False
        else:
            self._observe(observed, captured_at)
        first = self.end
        self.end += samples
        return first, self._origin + self.end / SAMPLE_RATE

    def _skip(self, lost_s: float) -> int:
        lost = max(0, round(lost_s * SAMPLE_RATE))
        self.end += lost
        return lost

    def _restart(self, origin: float, captured_at: float) -> None:
        self._origin = self._earliest = self._earliest_before = origin
        self._window_ends = captured_at + _WINDOW_S

    def _observe(self, observed: float, captured_at: float) -> None:
        """Follow the device's clock, and find a loss that nobody reported."""
        self._earliest = min(self._earliest, observed)
        origin = min(self._earliest, self._earliest_before)
        is_late = origin - self._origin > _UNNOTICED_LOSS_S
        if not is_late:
            self._origin = origin
        if captured_at < self._window_ends:
            return
        before, self._earliest_before = self._earliest_before, self._earliest
        self._earliest = observed
        self._window_ends = captured_at + _WINDOW_S
        has_fallen = self._earliest_before < before - _CATCH_UP_S
        self._windows_since_fall = 0 if has_fallen else self._windows_since_fall + 1
        if is_late and self._windows_since_fall >= _LOSS_WINDOWS:
            lost_s = self._skip(origin - self._origin) / SAMPLE_RATE
            self._earliest_before -= lost_s
            self._earliest -= lost_s  # any lateness that remains is newer, and not yet certain
