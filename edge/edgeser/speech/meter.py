"""How loud it is: the level over some frames, and the noise floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from threading import Lock

from edgeser.speech.vad import VadFrame


def power_of(frames: Sequence[VadFrame]) -> float:
    """Sum of the frames' powers; that of a frame at full scale is 1."""
    return sum([10 ** (frame.level_dbfs / 10) for frame in frames])


class Meter:
    """Takes the frames of one thread, and is read by another."""

    def __init__(self) -> None:
        self.floor_dbfs: float | None = None
        """Noise floor at the last frame; None before the first."""
        self.last_dbfs: float | None = None
        """What ``take`` returned last."""
        self._lock = Lock()
        self._power = 0.0
        self._frames = 0

    def add(self, power: float, frames: int, floor_dbfs: float) -> None:
        """Take so many frames, at least one. ``power``: their ``power_of``."""
        with self._lock:
            self._power += power
            self._frames += frames
            self.floor_dbfs = floor_dbfs

    def take(self) -> float | None:
        """RMS level since the last call, dB below full scale; None when nothing was heard."""
        with self._lock:
            power, frames = self._power, self._frames
            self._power, self._frames = 0.0, 0
        self.last_dbfs = round(10 * math.log10(power / frames), 2) if frames else None
        return self.last_dbfs
