"""Sound of any rate and channel count becomes 16 kHz mono int16, block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgeser.pcm import SAMPLE_RATE, Samples, as_floats, as_samples


class Resampler:
    """Converts one stream. However the input is split into blocks, the output is the same.

    ``rate``: frames per second of the input, at least 1. ``channels``: at least 1.
    ``channel``: the one to take, from 0; None takes the mean of all.

    After ``flush`` exactly ``frames_in * 16000 / rate`` samples, rounded, have come out. 16 kHz
    mono int16 passes unchanged. Floats beyond full scale are clipped; NaN and infinity count as
    silence.
    """

    def __init__(self, rate: int, channels: int, channel: int | None = None) -> None:
        if rate < 1 or channels < 1:
            raise ValueError(f"expected rate and channels >= 1, got {rate} and {channels}")
        if channel is not None and not 0 <= channel < channels:
            raise ValueError(f"expected channel in 0..{channels - 1}, got {channel}")
        self.rate = rate
        self.channels = channels
        self.frames_in = 0
        """Input frames taken so far."""
        self.samples_out = 0
        """Output samples given so far."""
        self.first_non_finite: int | None = None
        """Input frame that held the first NaN or infinity; None while there was none."""
        self._channel = channel
        self._stream: Any = None
        if rate != SAMPLE_RATE:
            import soxr  # not loaded for 16 kHz

            self._stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")

    @property
    def held_s(self) -> float:
        """Seconds of input whose output has not come out yet."""
        return self.frames_in / self.rate - self.samples_out / SAMPLE_RATE

    def feed(self, frames: npt.NDArray[Any]) -> Samples:
        """Convert the next frames: int16, or float with full scale at ±1; shape (n, channels).

        Returns what is ready: int16, shape (m,), m >= 0.
        """
        if frames.ndim != 2 or frames.shape[1] != self.channels:
            raise ValueError(f"expected shape (n, {self.channels}), got {frames.shape}")
        if self._stream is None and self.channels == 1 and frames.dtype == np.int16:
            self.frames_in += len(frames)
            return self._given(frames[:, 0].astype(np.int16))
        mono = self._mono(self._floats(frames))
        self.frames_in += len(frames)
        if self._stream is not None and len(mono):
            mono = self._stream.resample_chunk(mono)
        return self._given(as_samples(mono))

    def flush(self) -> Samples:
        """End the stream: int16, shape (m,), the samples still held back. Call it once."""
        if self._stream is None or self.frames_in == 0:
            return np.zeros(0, np.int16)
        rest = as_samples(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))
        total = (2 * self.frames_in * SAMPLE_RATE + self.rate) // (2 * self.rate)
        missing = total - self.samples_out - len(rest)
        rest = np.pad(rest, (0, missing)) if missing > 0 else rest[: len(rest) + missing]
        return self._given(rest)

    def _floats(self, frames: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if frames.dtype == np.int16:
            return as_floats(frames)
        finite = np.isfinite(frames)
        if not finite.all():
            if self.first_non_finite is None:
                self.first_non_finite = self.frames_in + int(np.argmin(finite.all(axis=1)))
            frames = np.where(finite, frames, 0.0)
        return frames.clip(-1.0, 1.0).astype(np.float32)

    def _mono(self, frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self._channel is not None or self.channels == 1:
            return np.ascontiguousarray(frames[:, self._channel or 0])
        mean: npt.NDArray[np.float32] = frames.mean(axis=1, dtype=np.float32)
        return mean

    def _given(self, samples: Samples) -> Samples:
        self.samples_out += len(samples)
        return samples
