"""How harmonic a sound is: what cries or wails repeats itself, what hisses or rattles does not.

Paul Boersma (1993), "Accurate short-term analysis of the fundamental frequency and the
harmonics-to-noise ratio of a sampled sound": the autocorrelation of a windowed frame, divided by
that of its window, is 1 at the period of what repeats itself, and less by as much as is noise.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser.speech.silero import Floats

_FRAME, _HOP = SAMPLE_RATE // 25, SAMPLE_RATE // 50  # 40 ms, and 20 ms from one to the next
_PERIODS = slice(SAMPLE_RATE // 600, SAMPLE_RATE // 75)
"""Of a voice, in samples: 75 to 600 Hz."""

_TRANSFORM = 1024
"""Points: so many that no lag up to the longest period wraps around."""

_LOUD = 10**-2.5
"""Frames down to 25 dB below the loudest one count: a pause is as harmonic as the room."""

_LEAST = 0.001
"""Share of harmonics or noise in a frame, at least: -30 to 30 dB."""

NOT_HARMONIC_DB = -30.0

_AT_ONCE = 50
"""Frames of a transform: its memory is a segment's otherwise, 10 MB."""

_WINDOW = np.hanning(_FRAME).astype(np.float32)
_OF_WINDOW = np.fft.irfft(np.abs(np.fft.rfft(_WINDOW, _TRANSFORM)) ** 2)
_OF_WINDOW /= _OF_WINDOW[0]


def hnr_db(samples: Samples) -> float:
    """Harmonics-to-noise ratio of int16 (n,), the mean of its loud frames, dB.

    -30, the least there is, for silence and for less than 40 ms.
    """
    if len(samples) < _FRAME:
        return NOT_HARMONIC_DB
    frames = sliding_window_view(samples, _FRAME)[::_HOP].astype(np.float32)
    frames -= frames.mean(axis=1, keepdims=True)
    frames *= _WINDOW
    powers = np.einsum("ij,ij->i", frames, frames)
    if not powers.any():
        return NOT_HARMONIC_DB
    loud = frames[powers > _LOUD * powers.max()]
    parts = np.array_split(loud, 1 + len(loud) // _AT_ONCE)
    harmonic = np.concatenate([_periodicity(part) for part in parts])
    return float(np.mean(10 * np.log10((harmonic + _LEAST) / (1 - harmonic + _LEAST))))


def _periodicity(frames: Floats) -> Floats:
    """Share of the power that repeats itself at the likeliest period: (n, 640) -> (n,)."""
    repeats = np.fft.irfft(np.abs(np.fft.rfft(frames, _TRANSFORM)) ** 2)
    ratios = repeats[:, _PERIODS] / repeats[:, :1] / _OF_WINDOW[_PERIODS]
    share: Floats = np.clip(ratios.max(axis=1), 0.0, 1.0)
    return share
