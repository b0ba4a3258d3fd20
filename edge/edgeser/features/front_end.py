"""A model's front end: every constant in one spec, shared by training and runtime."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]
Normalisation: TypeAlias = Literal[
    "none", "peak", "level", "half_speech", "speech", "mean", "mean_var"
]


class FrontEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Log-mel spectrogram in dB (Zhong et al. 2020, section 2.1; their code for the constants).

    Frame k analyses the samples [k * hop - lookback, k * hop - lookback + window), so n samples
    have n // hop frames. The default look-back makes frame k end with the samples of hop k: no
    frame waits for sound that a window does not hold, and the grid is that of a centred STFT moved
    by one hop. Samples in front of the sound are zeros.

    A window of frames is normalised by itself, never by its neighbours: first everything more than
    ``range_db`` below its maximum is raised to that, then ``normalise``:

    * ``none``: as it is
    * ``peak``: minus the window's maximum
    * ``level``: minus the window's mean over time and mel
    * ``speech``: minus the mean of each mel band over the frames louder than the average frame, so
      that pauses matter less
    * ``half_speech``: half way between that mean and its average over the bands, so that what is
      fixed in voice or microphone is halved and not lost
    * ``mean``: minus the mean over time of each mel band
    * ``mean_var``: that, divided by the standard deviation over time of each band

    All but ``none`` make the features independent of the microphone's gain, ``speech`` and the last
    two also of a fixed response of voice or microphone.
    """

    sample_rate: int = 16_000
    window: int = 640
    hop: int = 160
    lookback: int = 480
    n_fft: int = 1024
    mels: int = 128
    f_min: float = 0.0
    f_max: float = 8_000.0
    floor: float = 1e-10
    range_db: float = 80.0
    normalise: Normalisation = "level"

    def __post_init__(self) -> None:
        if not 0 < self.hop <= self.window <= self.n_fft:
            raise ValueError(
                f"front end: need 0 < hop <= window <= n_fft, got hop {self.hop}, "
                f"window {self.window}, n_fft {self.n_fft}"
            )
        if not 0 <= self.lookback <= self.window:
            raise ValueError(
                f"front end: need 0 <= lookback <= window, got lookback {self.lookback}"
            )
        if not 0 <= self.f_min < self.f_max <= self.sample_rate / 2:
            raise ValueError(f"front end: bad mel range {self.f_min} to {self.f_max} Hz")

    @property
    def lookahead(self) -> int:
        """Samples behind hop k that frame k still needs."""
        return max(0, self.window - self.lookback - self.hop)

    @cached_property
    def analysis_window(self) -> Floats:
        """Periodic Hamming window, shape (window,)."""
        phase = 2 * np.pi * np.arange(self.window) / self.window
        window: Floats = (0.54 - 0.46 * np.cos(phase)).astype(np.float32)
        return window

    @cached_property
    def mel_filters(self) -> Floats:
        """Slaney's mel filter bank with unit area per filter, shape (n_fft // 2 + 1, mels)."""
        bins_hz = np.linspace(0, self.sample_rate / 2, self.n_fft // 2 + 1)
        edges_mel = np.linspace(_hz_to_mel(self.f_min), _hz_to_mel(self.f_max), self.mels + 2)
        edges_hz = _mel_to_hz(edges_mel)
        slopes = edges_hz[:, None] - bins_hz[None, :]
        widths = np.diff(edges_hz)[:, None]
        rising, falling = -slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]
        triangles = np.maximum(0, np.minimum(rising, falling))
        area = 2 / (edges_hz[2:] - edges_hz[:-2])
        filters: Floats = (triangles * area[:, None]).T.astype(np.float32)
        return filters

    @cached_property
    def _sparse_mel_filters(self) -> tuple[Ints, Floats, Ints]:
        """Bins and weights of all filters one after the other, and where each filter begins.

        A filter covers few of the bins, and a matrix product as small as this one would wake up a
        pool of BLAS threads that only get into each other's way.
        """
        bins: list[Ints] = []
        for column in self.mel_filters.T:
            covered = np.flatnonzero(column)
            bins.append(covered if len(covered) else np.zeros(1, np.int64))
        starts = np.cumsum([0, *map(len, bins[:-1])])
        weights = [self.mel_filters[rows, mel] for mel, rows in enumerate(bins)]
        return np.concatenate(bins), np.concatenate(weights), starts

    def frame_count(self, samples: int) -> int:
        """Frames of a sound of ``samples`` samples."""
        return samples // self.hop

    def log_mel(self, frames: Floats) -> Floats:
        """Log-mel energies in dB of raw frames: (n, window) samples in [-1, 1] -> (n, mels)."""
        spectra = np.fft.rfft(frames * self.analysis_window, self.n_fft)
        power = spectra.real**2 + spectra.imag**2
        bins, weights, starts = self._sparse_mel_filters
        energies = np.add.reduceat(power.astype(np.float32)[:, bins] * weights, starts, axis=1)
        decibels: Floats = 10 * np.log10(np.maximum(energies, np.float32(self.floor)))
        return decibels

    def normalised(self, frames: Floats) -> Floats:
        """One window of log-mel frames (n, mels) in dB, normalised by itself; a new array."""
        clipped: Floats = np.maximum(frames, frames.max() - np.float32(self.range_db))
        if self.normalise == "peak":
            clipped -= clipped.max()
        elif self.normalise == "level":
            clipped -= clipped.mean()
        elif self.normalise == "speech":
            clipped -= _speech_mean(clipped)
        elif self.normalise == "half_speech":
            spectrum = _speech_mean(clipped)
            clipped -= np.float32(0.5) * (spectrum + spectrum.mean())
        elif self.normalise != "none":
            clipped -= clipped.mean(axis=0)
        if self.normalise == "mean_var":
            clipped /= np.maximum(clipped.std(axis=0), np.float32(1e-3))
        return clipped


def _speech_mean(frames: Floats) -> Floats:
    """Mean over the frames that are at least as loud as the average frame, shape (mels,)."""
    levels = frames.mean(axis=1)
    mean: Floats = frames[levels >= levels.mean() - np.float32(1e-3)].mean(axis=0)
    return mean


# Slaney's Auditory Toolbox: linear below 1 kHz (3 mels per 200 Hz), logarithmic above
# (27 mels per factor 6.4).
_LINEAR_MELS = 15.0
_LOG_STEP = float(np.log(6.4)) / 27


def _hz_to_mel(hz: float) -> float:
    return 3 * hz / 200 if hz < 1000 else _LINEAR_MELS + float(np.log(hz / 1000)) / _LOG_STEP


def _mel_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above = 1000 * np.exp(_LOG_STEP * (mel - _LINEAR_MELS))
    return np.where(mel < _LINEAR_MELS, 200 * mel / 3, above)
