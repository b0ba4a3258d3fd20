"""How fast a device may send. Pure."""

from __future__ import annotations

BURST_S = 10.0
"""Seconds of sound that may arrive at once: a device buffers it while the network is down."""

RATE = 2.0
"""Sustained rate, in multiples of real time."""


class RateLimit:
    """A token bucket of sound: it fills with time, and is emptied by sound that arrives."""

    def __init__(self, now: float) -> None:
        self._allowance_s = BURST_S
        self._at = now

    def take(self, sound_s: float, now: float) -> float:
        """Take sound that has arrived; return for how many seconds to stop reading."""
        grown = self._allowance_s + RATE * (now - self._at)
        self._allowance_s = min(BURST_S, grown) - sound_s
        self._at = now
        return max(0.0, -self._allowance_s / RATE)
