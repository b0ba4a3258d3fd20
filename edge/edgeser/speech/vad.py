"""Voice activity in exact 20 ms frames: WebRTC's decision, and the level against the noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgeser.errors import UserError
from edgeser.pcm import FRAME_SAMPLES, FULL_SCALE, SAMPLE_RATE, Samples

LOWEST_FLOOR_DBFS = -70.0
"""The noise floor starts here and never falls below: digital silence is no measure of a room."""

_FLOOR_RISE_DB = 2.0 * FRAME_SAMPLES / SAMPLE_RATE
"""The floor climbs by 2 dB a second: a fan that starts is learnt in seconds, a shout is not."""


@dataclass(frozen=True, slots=True)
class VadFrame:
    """What is known of one frame.

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
        self.restart(position)  # `position` is just after the last frame given out
        self._floor_dbfs = floor_dbfs

    @property
    def floor_dbfs(self) -> float:
        """Level of the background, dB below full scale."""
        return self._floor_dbfs

    def push(self, samples: Samples) -> Iterator[VadFrame]:
        """The frames that these samples complete; the remainder waits for the next call."""
        samples = np.concatenate((self._carry, samples))
        whole = len(samples) // FRAME_SAMPLES * FRAME_SAMPLES
        self._carry = samples[whole:].copy()
        for offset in range(0, whole, FRAME_SAMPLES):
            yield self._frame(samples[offset : offset + FRAME_SAMPLES])

    def restart(self, position: int) -> None:
        """Go on at ``position``, a multiple of 320, after a gap; an unfinished frame is dropped."""
        if position % FRAME_SAMPLES:
            raise ValueError(f"position {position} is off the grid of {FRAME_SAMPLES} samples")
        self._carry = self._carry[:0]
        self.position = position

    def _frame(self, samples: Samples) -> VadFrame:
        level = level_dbfs(samples)
        self._floor_dbfs = max(LOWEST_FLOOR_DBFS, min(level, self._floor_dbfs + _FLOOR_RISE_DB))
        voiced = bool(self._vad.is_speech(samples.tobytes(), SAMPLE_RATE))
        frame = VadFrame(self.position, voiced, level, self._floor_dbfs)
        self.position += FRAME_SAMPLES
        return frame


def level_dbfs(samples: Samples) -> float:
    """RMS level of int16 samples in dB below full scale; -100 for silence or no samples."""
    if not len(samples):
        return -100.0
    values = samples.astype(np.float32)
    power = float(np.dot(values, values)) / len(values) / FULL_SCALE**2
    return max(-100.0, 10 * math.log10(power + 1e-30))
