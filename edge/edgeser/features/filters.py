"""Mel filter banks, as a table and as the few weights of it that are not zero."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]
Doubles: TypeAlias = npt.NDArray[np.float64]
MelScale: TypeAlias = Literal["slaney", "htk"]

# Slaney's Auditory Toolbox: linear below 1 kHz (3 mels per 200 Hz), logarithmic above
# (27 mels per factor 6.4).
_LINEAR_MELS = 15.0
_LOG_STEP = float(np.log(6.4)) / 27


def mel_filters(
    bins_hz: Doubles, mels: int, f_min: float, f_max: float, scale: MelScale, *, unit_area: bool
) -> Floats:
    """Triangles between ``f_min`` and ``f_max`` Hz, evenly spaced in mel: (bins, mels).

    Each has the height one, or with ``unit_area`` the area one over Hz.
    """
    to_mel, to_hz = _SCALES[scale]
    edges_hz = to_hz(np.linspace(to_mel(f_min), to_mel(f_max), mels + 2))
    slopes = edges_hz[:, None] - bins_hz[None, :]
    widths = np.diff(edges_hz)[:, None]
    rising, falling = -slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]
    triangles = np.maximum(0, np.minimum(rising, falling))
    if unit_area:
        triangles *= (2 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    filters: Floats = triangles.T.astype(np.float32)
    return filters


class SparseFilters:
    """A filter bank applied to power spectra without a matrix product.

    A filter covers few of the bins, and a matrix product as small as this one would wake up a
    pool of BLAS threads that only get into each other's way.
    """

    def __init__(self, filters: Floats) -> None:
        """``filters``: (bins, mels)."""
        bins: list[Ints] = []
        for column in filters.T:
            covered = np.flatnonzero(column)
            bins.append(covered if len(covered) else np.zeros(1, np.int64))
        self._starts = np.cumsum([0, *map(len, bins[:-1])])
        self._weights = np.concatenate([filters[rows, mel] for mel, rows in enumerate(bins)])
        self._bins = np.concatenate(bins)

    def __call__(self, power: Floats) -> Floats:
        """(n, bins) -> (n, mels)."""
        energies: Floats = np.add.reduceat(
            power[:, self._bins] * self._weights, self._starts, axis=1
        )
        return energies


def _hz_to_slaney(hz: float) -> float:
    return 3 * hz / 200 if hz < 1000 else _LINEAR_MELS + float(np.log(hz / 1000)) / _LOG_STEP


def _slaney_to_hz(mel: Doubles) -> Doubles:
    above = 1000 * np.exp(_LOG_STEP * (mel - _LINEAR_MELS))
    return np.where(mel < _LINEAR_MELS, 200 * mel / 3, above)


def _hz_to_htk(hz: float) -> float:
    return 2595 * float(np.log10(1 + hz / 700))


def _htk_to_hz(mel: Doubles) -> Doubles:
    hz: Doubles = 700 * (10 ** (mel / 2595) - 1)
    return hz


_SCALES = {"slaney": (_hz_to_slaney, _slaney_to_hz), "htk": (_hz_to_htk, _htk_to_hz)}
