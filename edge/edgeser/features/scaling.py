"""Normalisation and scaling of a window of frames in dB before the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from edgeser.features.baseline import Baseline, speech_frames
from edgeser.features.filters import Floats

Normalisation: TypeAlias = Literal[
    "none", "peak", "level", "half_speech", "speech", "voice", "onset", "mean", "mean_var"
]
Scale: TypeAlias = Literal["db", "ln", "mu_law"]

_MU = 255.0
_NEPERS_PER_DB = np.float32(np.log(10) / 10)  # of power


@dataclass(frozen=True, eq=False, slots=True)
class Reference:
    """The normalisation of all frames of a segment, fixed at its beginning.

    ``floor_db``: values below it are raised to it. ``mean``: (bins,) float32, in dB.
    """

    floor_db: np.float32
    mean: Floats

    def applied(self, frames: Floats) -> Floats:
        """Raw frames (n, bins) in dB -> normalised ones, each by itself; a new array."""
        normalised: Floats = np.maximum(frames, self.floor_db) - self.mean
        return normalised


def normalise(
    frames: Floats, way: Normalisation, baseline: Baseline | None = None, own_frames: int = 0
) -> None:
    """Normalise one window (n, bins) in dB in place, by any ``normalise`` of ``FrontEnd`` except
    ``onset``, which ``Reference`` does.

    ``baseline`` and ``own_frames``, above 0, are for ``voice`` alone.
    """
    if way == "peak":
        frames -= frames.max()
    elif way == "level":
        frames -= frames.mean()
    elif way == "speech":
        frames -= _speech_mean(frames)
    elif way == "voice":
        frames -= voice_mean(frames, baseline, own_frames)
    elif way == "half_speech":
        spectrum = _speech_mean(frames)
        frames -= np.float32(0.5) * (spectrum + spectrum.mean())
    elif way != "none":
        frames -= frames.mean(axis=0)
    if way == "mean_var":
        frames /= np.maximum(frames.std(axis=0), np.float32(1e-3))


def rescaled(frames: Floats, scale: Scale) -> Floats:
    """Decibels of power on another scale: as they are, natural logarithm of power, or mu-law.

    Mu-law takes a magnitude of 0 to 1 (0 dB) to 0 to 1: ln(1 + 255 x) / ln 256 (Li et al. 2018,
    section 3.1).
    """
    if scale == "ln":
        nepers: Floats = frames * _NEPERS_PER_DB
        return nepers
    if scale == "mu_law":
        magnitudes = np.power(np.float32(10), frames / np.float32(20))
        companded: Floats = np.log1p(np.float32(_MU) * magnitudes) / np.float32(np.log1p(_MU))
        return companded
    return frames


def with_deltas(frames: Floats, reach: int) -> Floats:
    """Frames, their slope and the slope of that, side by side: (n, bins) -> (n, 3 * bins)."""
    slopes = deltas(frames, reach)
    return np.concatenate((frames, slopes, deltas(slopes, reach)), axis=1)


def deltas(frames: Floats, reach: int) -> Floats:
    """Regression slope over ``reach`` frames on either side, the outer frames repeated.

    sum_k k (x[t+k] - x[t-k]) / (2 sum_k k^2), k = 1 .. reach; same shape as ``frames``.
    """
    n = len(frames)
    wide = np.pad(frames, ((reach, reach), (0, 0)), mode="edge")
    slopes = np.zeros_like(frames)
    for k in range(1, reach + 1):
        ahead, behind = wide[reach + k : reach + k + n], wide[reach - k : reach - k + n]
        slopes += np.float32(k) * (ahead - behind)
    slopes /= np.float32(2 * sum(k * k for k in range(1, reach + 1)))
    return slopes


def voice_mean(frames: Floats, baseline: Baseline | None, own_frames: int) -> Floats:
    """Mean of a voice in each band, (bins,), from these frames (n, bins) and its baseline.

    The speech mean of the frames counts like ``own_frames`` frames of the baseline.
    """
    mean = _speech_mean(frames)
    if baseline is not None and baseline.frames:
        mean += np.float32(baseline.weight(own_frames)) * (baseline.mean - mean)
    return mean


def _speech_mean(frames: Floats) -> Floats:
    """Mean over the frames that are at least as loud as the average frame, shape (bins,)."""
    mean: Floats = speech_frames(frames).mean(axis=0)
    return mean
