"""Sound coded and decoded: float64 (n,) at 16 kHz in and out, of the same length."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from edgeser.pcm import SAMPLE_RATE

Doubles = npt.NDArray[np.float64]

_TELEPHONE_RATE = 8_000
_MU = 255
_LEVELS = 127


def g711(x: Doubles) -> Doubles:
    """8 kHz and eight bits on a mu-law scale (the continuous curve of ITU-T G.711)."""
    peak = _peak(x)
    narrow = soxr.resample(x / peak, SAMPLE_RATE, _TELEPHONE_RATE)
    squeezed = np.sign(narrow) * np.log1p(_MU * np.minimum(np.abs(narrow), 1)) / np.log1p(_MU)
    rounded = np.round(squeezed * _LEVELS) / _LEVELS
    widened = np.sign(rounded) * np.expm1(np.abs(rounded) * np.log1p(_MU)) / _MU
    return _fitted(soxr.resample(widened, _TELEPHONE_RATE, SAMPLE_RATE) * peak, len(x))


def vorbis(x: Doubles, compression: float) -> Doubles:
    """Ogg Vorbis; ``compression`` from 0, the best sound, to 1, the smallest file."""
    peak = 1.25 * _peak(x)
    file = io.BytesIO()
    soundfile.write(
        file, x / peak, SAMPLE_RATE, "VORBIS", format="OGG", compression_level=compression
    )
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float64")
    return _fitted(decoded * peak, len(x))


def _peak(x: Doubles) -> float:
    return max(float(np.abs(x).max(initial=0)), 1e-9)


def _fitted(x: Doubles, n: int) -> Doubles:
    return np.pad(x[:n], (0, max(0, n - len(x))))
