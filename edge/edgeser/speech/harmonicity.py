"""How harmonic a sound is: cries and wails are periodic, hisses and rattles are not.

Paul Boersma (1993), "Accurate short-term analysis of the fundamental frequency and the
harmonics-to-noise ratio of a sampled sound": the autocorrelation of a windowed frame, divided by
that of its window, is 1 at the period of a periodic sound, and less by the share of noise.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser.speech.silero import Floats

_FRAME, _HOP = SAMPLE_RATE // 25, SAMPLE_RATE // 50  # 40 ms, and 20 ms from one to the next
_PERIODS = slice(SAMPLE_RATE // 600, SAMPLE_RATE // 75)
"""Periods of a voice, in samples: 75 to 600 Hz."""

_TRANSFORM = 1024
"""Points of the FFT: enough that no lag up to the longest period wraps around."""

_LOUD = 10**-2.5
"""Power relative to the loudest frame. Quieter frames are ignored: a pause has the room's HNR."""

_MIN_SHARE = 0.001
"""Added to the shares of harmonics and of noise in a frame: the HNR is between -30 and 30 dB."""

NOT_HARMONIC_DB = -30.0

_AT_ONCE = 50
"""Frames transformed at once: all of a segment's would need 10 MB."""

_WINDOW = np.hanning(_FRAME).astype(np.float32)
_WINDOW_AUTOCORRELATION = np.fft.irfft(np.abs(np.fft.rfft(_WINDOW, _TRANSFORM)) ** 2)
_WINDOW_AUTOCORRELATION /= _WINDOW_AUTOCORRELATION[0]


def hnr_db(samples: Samples) -> float:
    """Harmonics-to-noise ratio of int16 (n,), the mean of its loud frames, dB.

    -30, the minimum, for silence and for less than 40 ms.
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
    return float(np.mean(10 * np.log10((harmonic + _MIN_SHARE) / (1 - harmonic + _MIN_SHARE))))


def _periodicity(frames: Floats) -> Floats:
    """Share of the power that is periodic, at the most likely period: (n, 640) -> (n,)."""
    repeats = np.fft.irfft(np.abs(np.fft.rfft(frames, _TRANSFORM)) ** 2)
    ratios = repeats[:, _PERIODS] / repeats[:, :1] / _WINDOW_AUTOCORRELATION[_PERIODS]
    share: Floats = np.clip(ratios.max(axis=1), 0.0, 1.0)
    return share
