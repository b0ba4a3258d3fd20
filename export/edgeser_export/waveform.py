"""The front end as a network: sound in, so that one graph goes from waveform to probabilities."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeser.errors import UserError
from edgeser.features import FrontEnd, WindowPolicy
from edgeser_export.projected_gru import not_negative
from edgeser_train.models.layers import masked_mean
from edgeser_train.models.speech_model import length_mask

_DB_PER_NEPER = 10 / math.log(10)
_MU = 255.0
_FAR = 1e9
"""Above any level in dB."""


class WaveformFrontEnd(nn.Module):
    """One piece of sound, as the window policy cuts it, to the input of a model's network.

    With ``fill`` the graph itself pads a shorter piece with silence on both sides.
    """

    def __init__(self, front_end: FrontEnd, window: WindowPolicy) -> None:
        """Raises UserError for a front end that no graph can compute."""
        super().__init__()
        self.frames = Frames(front_end)
        self.normalised = Normalised(front_end)
        self.longest = window.frames
        self.canvas = window.frames if window.fill else 0
        self.silence = front_end.silence

    def forward(self, waveform: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, history + samples) in [-1, 1], (batch,) number of valid hops -> features (batch,
        frames, width), and the number of valid frames (batch,).

        What comes after ``frames`` hops never matters.
        """
        x = self.frames(waveform)
        if self.canvas:
            x, frames = self._filled(x, frames)
        return self.normalised(x, frames), frames

    def _filled(self, x: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        place = torch.arange(self.canvas, device=x.device)[None, :]
        missing = not_negative(self.canvas - frames)
        source = place - torch.div(missing, 2, rounding_mode="floor")[:, None]
        outside = (source < 0) | (source >= frames[:, None])
        x = _picked(x, not_negative(source), frames)
        return x.masked_fill(outside[:, :, None], self.silence), frames * 0 + self.canvas


class Frames(nn.Module):
    """Raw frames in dB, as from ``FrontEnd.frames``.

    The DFT is a convolution with windowed cosines and sines that are as long as the analysis
    window, not as the DFT; pre-emphasis is one more tap. It is two-dimensional because TensorRT has
    no one-dimensional convolution.
    """

    kernels: Tensor
    filters: Tensor | None

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        if not front_end.spectral:
            raise UserError(
                "export: --waveform needs a front end of spectra; "
                "this model hears the waveform "
                "itself, with WebRTC's speech mark, which no graph computes",
            )
        self.hop = front_end.hop
        self.history = front_end.history
        self.floor = front_end.floor
        filters = _filters(front_end)
        used = np.flatnonzero(filters.any(axis=1))
        kernels = torch.from_numpy(_kernels(front_end, used))
        self.register_buffer("kernels", kernels[:, None, None, :])
        if front_end.kind == "mel":
            bank = torch.from_numpy(np.ascontiguousarray(filters[used].T))
            self.register_buffer("filters", bank[:, :, None, None])
        else:
            self.filters = None

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, history + samples) in [-1, 1] -> (batch, samples // hop, bins)."""
        spectra = F.conv2d(waveform[:, None, None, :], self.kernels, stride=(1, self.hop))
        real, imaginary = spectra.chunk(2, dim=1)
        power = real * real + imaginary * imaginary
        if self.filters is not None:
            power = F.conv2d(power, self.filters)
        decibels = _DB_PER_NEPER * torch.log(power.clamp(min=self.floor))
        return decibels.squeeze(2).transpose(1, 2)


class Normalised(nn.Module):
    """Frames of a piece to features, as ``FrontEnd.normalised`` makes them without a baseline."""

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.spec = front_end

    def forward(self, x: Tensor, frames: Tensor) -> Tensor:
        """(batch, time, bins) in dB, (batch,) -> (batch, time, width); junk after ``frames``."""
        own = self.spec.own_frames
        counted = frames.where(frames < own, own) if self.spec.streams else frames
        inside = length_mask(counted, x.shape[1])[:, :, None].to(x.dtype)
        peak = (x - (1 - inside) * _FAR).amax(dim=(1, 2), keepdim=True)
        x = torch.maximum(x, peak - self.spec.range_db)
        x = self._normalised(x, inside, peak)
        if self.spec.scale == "ln":
            x = x / _DB_PER_NEPER
        elif self.spec.scale == "mu_law":
            magnitudes = torch.exp(x / (2 * _DB_PER_NEPER))
            x = torch.log(1 + _MU * magnitudes) / math.log(1 + _MU)
        if self.spec.deltas:
            slopes = _deltas(x, frames, self.spec.deltas)
            x = torch.cat((x, slopes, _deltas(slopes, frames, self.spec.deltas)), dim=2)
        return x

    def _normalised(self, x: Tensor, inside: Tensor, peak: Tensor) -> Tensor:
        way = self.spec.normalise
        if way == "none":
            return x
        if way == "peak":
            return x - peak
        mean = masked_mean(x, inside, dim=1, keepdim=True)
        if way == "level":
            return x - mean.mean(dim=2, keepdim=True)
        if way in ("speech", "voice", "onset", "half_speech"):
            levels = x.mean(dim=2, keepdim=True)
            loud = inside * (levels >= masked_mean(levels, inside, dim=1, keepdim=True) - 1e-3).to(
                x.dtype
            )
            spectrum = masked_mean(x, loud, dim=1, keepdim=True)
            if way == "half_speech":
                spectrum = 0.5 * (spectrum + spectrum.mean(dim=2, keepdim=True))
            return x - spectrum
        x = x - mean
        if way == "mean_var":
            x = x / masked_mean(x * x, inside, dim=1, keepdim=True).sqrt().clamp(min=1e-3)
        return x


def _deltas(x: Tensor, frames: Tensor, reach: int) -> Tensor:
    """Regression slope over ``reach`` frames on either side, the outer frames repeated."""
    place = torch.arange(x.shape[1], device=x.device)[None, :]
    slopes = torch.zeros_like(x)
    for k in range(1, reach + 1):
        ahead = _picked(x, place + k, frames)
        behind = _picked(x, not_negative(place - k), frames)
        slopes = slopes + k * (ahead - behind)
    return slopes / (2 * sum(k * k for k in range(1, reach + 1)))


def _picked(x: Tensor, places: Tensor, frames: Tensor) -> Tensor:
    """Frames of (batch, time, bins) at ``places`` (1 or batch, n), clamped to the last valid frame:
    (batch, n, bins)."""
    places = torch.minimum(places, frames[:, None] - 1)
    return torch.gather(x, 1, places[:, :, None].expand(-1, -1, x.shape[2]))


def _filters(front_end: FrontEnd) -> np.ndarray:
    """Filter bank (n_fft // 2 + 1, bins); for a linear front end it selects the bins."""
    if front_end.kind == "mel":
        return front_end.mel_filters
    return np.eye(front_end.n_fft // 2 + 1, dtype=np.float32)[:, front_end.linear_bins]


def _kernels(front_end: FrontEnd, bins: np.ndarray) -> np.ndarray:
    """Windowed cosines, then sines, of the DFT's ``bins``: (2 * bins, history taps), float32."""
    angles = 2 * np.pi / front_end.n_fft * np.outer(bins, np.arange(front_end.window))
    window = front_end.analysis_window.astype(np.float64)
    kernels = np.concatenate((np.cos(angles), np.sin(angles))) * window
    if front_end.pre_emphasis:
        wide = np.pad(kernels, ((0, 0), (1, 1)))
        kernels = wide[:, :-1] - front_end.pre_emphasis * wide[:, 1:]
    return kernels.astype(np.float32)
