"""Mel filter banks, as a dense table and as its non-zero bands."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
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

    Each has height one, or with ``unit_area`` area one over Hz.
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


_NEIGHBOURS = 16
"""Filters in a product: fewer mean more products, more mean wider ones."""


class BandedFilters:
    """A filter bank applied to power spectra, by one small matrix product for each few neighbours.

    Neighbouring filters cover nearly the same bins, and their product leaves out all others. It is
    so small that BLAS uses one thread for it: several would only get in each other's way. Every
    frame has products of its own: in a product over many frames the last bit of a result may depend
    on the frame's place among them (OpenBLAS on AMD Zen 5), so on how many are computed at once.
    """

    def __init__(self, filters: Floats) -> None:
        """``filters``: (bins, mels)."""
        self._mels = filters.shape[1]
        self._parts: list[tuple[slice, slice, Floats]] = []  # bins, filters, (bins, filters)
        for first in range(0, self._mels, _NEIGHBOURS):
            bands = slice(first, first + _NEIGHBOURS)
            covered = np.flatnonzero(filters[:, bands].any(axis=1))
            bins = slice(covered[0], covered[-1] + 1) if len(covered) else slice(0, 1)
            self._parts.append((bins, bands, np.ascontiguousarray(filters[bins, bands])))

    def __call__(self, power: Floats) -> Floats:
        """(n, bins) -> (n, mels)."""
        frames = power[:, None, :]
        energies = np.empty((len(power), 1, self._mels), np.float32)
        for bins, bands, weights in self._parts:
            np.matmul(frames[:, :, bins], weights, out=energies[:, :, bands])
        return energies[:, 0]


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
