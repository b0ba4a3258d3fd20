"""Voice activity in exact 20 ms frames: WebRTC's decision, and the level against the noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from edgeser.errors import UserError
from edgeser.pcm import FRAME_SAMPLES, FULL_SCALE, SAMPLE_RATE, Samples

LOWEST_FLOOR_DBFS = -70.0
"""The noise floor starts here and never falls below: digital silence tells nothing about a room."""

_FLOOR_RISE_DB = 2.0 * FRAME_SAMPLES / SAMPLE_RATE
"""The floor rises by 2 dB a second: it follows a fan within seconds, and hardly follows a shout."""

_FRAME_BYTES = 2 * FRAME_SAMPLES


class VadFrame(NamedTuple):
    """The measurements of one frame.

    ``start``: absolute position of its first sample, a multiple of 320. ``voiced``: WebRTC's
    decision. ``level_dbfs``: RMS level. ``floor_dbfs``: the noise floor, this frame included.
    """

    start: int
    voiced: bool
    level_dbfs: float
    floor_dbfs: float

    @property
    def snr_db(self) -> float:
        return self.level_dbfs - self.floor_dbfs


class VoiceActivity:
    """Samples in, one VadFrame per 320 samples out, however the samples are cut into blocks."""

    def __init__(self, mode: int, position: int = 0, floor_dbfs: float = LOWEST_FLOOR_DBFS) -> None:
        """``mode``: WebRTC's aggressiveness, 0 (most is speech) to 3.

        ``position``: of the first sample, a multiple of 320; ``floor_dbfs``: the noise floor as
        far as it is known. Raises UserError where WebRTC VAD cannot be loaded.
        """
        try:
            import webrtcvad
        except ImportError as error:
            raise UserError(
                f"WebRTC VAD cannot be loaded ({error})", "run 'pip install webrtcvad-wheels'"
            ) from error
        self._vad = webrtcvad.Vad(mode)
        self._carry: Samples = np.zeros(0, np.int16)
        self.restart(position)  # sets `position`, the end of the last frame yielded
        self._floor_dbfs = floor_dbfs

    @property
    def floor_dbfs(self) -> float:
        """Level of the background, dB below full scale."""
        return self._floor_dbfs

    def push(self, samples: Samples) -> Iterator[VadFrame]:
        """The frames that these samples complete; the remainder waits for the next call."""
        if len(self._carry):
            samples = np.concatenate((self._carry, samples))
        whole = len(samples) // FRAME_SAMPLES * FRAME_SAMPLES
        if len(samples) != whole or len(self._carry):
            self._carry = samples[whole:].copy()
        values = samples[:whole].reshape(-1, FRAME_SAMPLES).astype(np.float64)
        # Sums of whole numbers are exact in doubles, in whatever order.
        values *= values
        powers = np.add.reduce(values, axis=1).tolist()
        content = samples[:whole].tobytes()
        for number, power in enumerate(powers):
            level = _level_dbfs(power / FRAME_SAMPLES)
            floor = max(LOWEST_FLOOR_DBFS, min(level, self._floor_dbfs + _FLOOR_RISE_DB))
            of_frame = content[number * _FRAME_BYTES : (number + 1) * _FRAME_BYTES]
            voiced = self._vad.is_speech(of_frame, SAMPLE_RATE)
            frame = VadFrame(self.position, voiced, level, floor)
            self._floor_dbfs = floor
            self.position += FRAME_SAMPLES
            yield frame

    def restart(self, position: int) -> None:
        """Go on at ``position``, a multiple of 320, after a gap; an unfinished frame is dropped."""
        if position % FRAME_SAMPLES:
            raise ValueError(f"position {position} is off the grid of {FRAME_SAMPLES} samples")
        self._carry = self._carry[:0]
        self.position = position


def level_dbfs(samples: Samples) -> float:
    """RMS level of int16 samples in dB below full scale; -100 for silence or no samples."""
    if not len(samples):
        return -100.0
    values = samples.astype(np.float32)
    return _level_dbfs(float(np.dot(values, values)) / len(values))


def _level_dbfs(power: float) -> float:
    """``power``: mean square of samples as whole numbers."""
    return max(-100.0, 10 * math.log10(power / FULL_SCALE**2 + 1e-30))
