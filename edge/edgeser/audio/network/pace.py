"""How fast a device may send. Pure."""

from __future__ import annotations

BURST_S = 10.0
"""Sound that may come at once: what a device held back while the network was away."""

RATE = 2.0
"""Times real time that may go on and on."""


class Pace:
    """An allowance of sound that grows with time and is used up by what arrives."""

    def __init__(self, now: float) -> None:
        self._allowance_s = BURST_S
        self._at = now

    def take(self, sound_s: float, now: float) -> float:
        """Take sound that has arrived; returns for how many seconds no more is to be read."""
        grown = self._allowance_s + RATE * (now - self._at)
        self._allowance_s = min(BURST_S, grown) - sound_s
        self._at = now
        return max(0.0, -self._allowance_s / RATE)
