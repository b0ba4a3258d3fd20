"""A model's front end: every constant in one spec, shared by training and runtime."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal, TypeAlias

import msgspec
import numpy as np

from edgeser.features import scaling, voiced_waveform
from edgeser.features.baseline import Baseline, speech_frames
from edgeser.features.filters import BandedFilters, Floats, MelScale, mel_filters
from edgeser.features.scaling import Normalisation, Reference, Scale
from edgeser.pcm import FRAME_SAMPLES, SAMPLE_RATE

__all__ = ["Floats", "FrontEnd", "Kind"]

_BLOCK = 128
"""Frames analysed at once: the arrays of many more outgrow the cache and take twice as long."""

_MAX = {"n_fft": 65_536, "mels": 4096, "deltas": 100}
"""Far beyond any model's, so that an artefact cannot ask for more memory than there is."""

Kind: TypeAlias = Literal["mel", "linear", "waveform"]


class FrontEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """From sound to the input of a network, in two steps: frames, each computed once, and windows.

    **Frames.** Frame k analyses the samples [k * hop - lookback, k * hop - lookback + window), so n
    samples have n // hop frames. With lookback = window - hop, the least, frame k ends with the
    samples of hop k: no frame waits for sound that a window does not hold, and the grid is that of
    a centred STFT moved by one hop. Samples in front of the sound are zeros. Segments consist of
    the VAD's frames of 20 ms, so a hop divides 320. ``kind``:

    * ``mel``: power in dB of ``mels`` bands from ``f_min`` to ``f_max``, on ``mel_scale``, the
      filters of ``unit_area`` or else of unit height
    * ``linear``: power in dB of the DFT's bins from ``f_min`` to below ``f_max``
    * ``waveform``: the hop's samples in [-1, 1]

    The first two use a periodic Hamming window, zero-padded to ``n_fft``; ``unit_window`` divides
    its power out (sum of squares one), so that windows of other lengths give the same level.
    ``pre_emphasis`` c means x[t] - c x[t-1], unbroken through the whole stream. Power below
    ``floor`` counts as ``floor``.

    **Windows.** A window of frames in dB is treated by itself, never by its neighbours. First
    everything more than ``range_db`` below its maximum is raised to that, then ``normalise``:

    * ``none``: as it is
    * ``peak``: minus the window's maximum
    * ``level``: minus the window's mean over time and band
    * ``speech``: minus the mean of each band over the frames louder than the average frame, so
      that pauses matter less
    * ``voice``: minus the voice's usual mean of each band, from its ``Baseline``. That mean is
      shrunk towards the one of ``speech``, which counts like ``own_frames`` frames of the baseline;
      without a baseline it is ``speech``
    * ``onset``: as ``voice``, but the maximum and the window's own mean are those of its first
      ``own_frames`` frames alone, so that what comes later changes no frame before it: a segment
      can be heard frame by frame
    * ``half_speech``: half way between that mean and its average over the bands, so that what is
      fixed in voice or microphone is halved and not lost
    * ``mean``: minus the mean over time of each band
    * ``mean_var``: that, divided by the standard deviation over time of each band

    then ``scale`` (dB, natural logarithm of power, or mu-law of the magnitude, which needs
    ``peak``), then with ``deltas`` N > 0 the slopes over N frames on either side and the slopes of
    these as further columns.

    A baseline is a mean of at most ``baseline_frames`` speech frames; of more, the oldest count
    less.

    Every ``normalise`` but ``none`` makes the features independent of the microphone's gain;
    ``speech``, ``voice``, ``onset`` and the last two also of the fixed frequency response of voice
    or microphone (``voice`` and ``onset`` only if the baseline was heard with the same one). A
    waveform's window gets zero mean, unit variance and a column that marks speech, whatever these
    fields say; only that mark depends on gain.
    """

    sample_rate: int = SAMPLE_RATE
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
    kind: Kind = "mel"
    mel_scale: MelScale = "slaney"
    unit_area: bool = True
    unit_window: bool = False
    pre_emphasis: float = 0.0
    scale: Scale = "db"
    deltas: int = 0
    own_frames: int = 50
    baseline_frames: int = 3000

    def __post_init__(self) -> None:
        for name, limit in _MAX.items():
            if (value := getattr(self, name)) > limit:
                raise ValueError(f"front end: {name} {value} is more than {limit}")
        if not 0 < self.hop <= self.window or (self.spectral and self.window > self.n_fft):
            raise ValueError(
                f"front end: need 0 < hop <= window <= n_fft, got hop {self.hop}, "
                f"window {self.window}, n_fft {self.n_fft}"
            )
        if self.sample_rate != SAMPLE_RATE or FRAME_SAMPLES % self.hop:
            raise ValueError(
                f"front end: need {SAMPLE_RATE} samples a second and a hop that divides "
                f"{FRAME_SAMPLES}, got {self.sample_rate} and {self.hop}"
            )
        if not self.window - self.hop <= self.lookback <= self.window:
            raise ValueError(
                "front end: need window - hop <= lookback <= window, "
                f"got window {self.window}, hop {self.hop}, lookback {self.lookback}"
            )
        if not 0 <= self.f_min < self.f_max <= self.sample_rate / 2:
            raise ValueError(f"front end: bad range {self.f_min} to {self.f_max} Hz")
        if min(self.floor, self.range_db, self.mels) <= 0 or self.bins < 1:
            raise ValueError("front end: floor, range_db and the number of bands must be above 0")
        if self.deltas < 0 or not 0 <= self.pre_emphasis < 1:
            raise ValueError("front end: need deltas >= 0 and 0 <= pre_emphasis < 1")
        if min(self.own_frames, self.baseline_frames) < 1:
            raise ValueError("front end: own_frames and baseline_frames must be at least 1")
        if self.scale == "mu_law" and self.normalise != "peak":
            raise ValueError("front end: the scale mu_law needs normalise 'peak'")
        if self.streams and self.deltas:
            raise ValueError("front end: deltas look ahead, which normalise 'onset' does not")
        if not self.spectral and (self.hop, self.window, self.lookback, self.pre_emphasis) != (
            voiced_waveform.HOP,
            voiced_waveform.HOP,
            0,
            0,
        ):
            raise ValueError(
                f"front end: a waveform needs hop and window {voiced_waveform.HOP}, lookback 0 and "
                "no pre_emphasis"
            )

    @property
    def spectral(self) -> bool:
        """Whether frames are powers in dB, not samples."""
        return self.kind != "waveform"

    @property
    def bins(self) -> int:
        """Values of a raw frame."""
        if self.kind == "mel":
            return self.mels
        first, last = self._linear_bins
        return last - first if self.kind == "linear" else self.hop

    @property
    def width(self) -> int:
        """Features per frame, as the network sees them."""
        if self.spectral:
            return 3 * self.bins if self.deltas else self.bins
        return self.bins + 1

    @property
    def history(self) -> int:
        """Samples before hop k that frame k needs."""
        return self.lookback + (self.pre_emphasis > 0)

    @property
    def silence(self) -> float:
        """The value of every element of a raw frame of digital silence."""
        return 10 * math.log10(self.floor) if self.spectral else 0.0

    @cached_property
    def analysis_window(self) -> Floats:
        """Periodic Hamming window, shape (window,)."""
        phase = 2 * np.pi * np.arange(self.window) / self.window
        window = 0.54 - 0.46 * np.cos(phase)
        if self.unit_window:
            window /= np.sqrt(np.sum(window**2))
        rounded: Floats = window.astype(np.float32)
        return rounded

    @cached_property
    def _raised_window(self) -> Floats:
        """``analysis_window`` times ``n_fft``, for rfft's norm "forward", which divides by that:
        NumPy computes the other norms in doubles, which takes two or three times as long.
        """
        raised: Floats = self.analysis_window * np.float32(self.n_fft)
        return raised

    @cached_property
    def mel_filters(self) -> Floats:
        """The mel filter bank, shape (n_fft // 2 + 1, mels)."""
        bins_hz = np.linspace(0, self.sample_rate / 2, self.n_fft // 2 + 1)
        return mel_filters(
            bins_hz, self.mels, self.f_min, self.f_max, self.mel_scale, unit_area=self.unit_area
        )

    @cached_property
    def _banded_mel_filters(self) -> BandedFilters:
        return BandedFilters(self.mel_filters)

    @property
    def linear_bins(self) -> slice:
        """The DFT's bins that ``linear`` keeps."""
        return slice(*self._linear_bins)

    @property
    def _linear_bins(self) -> tuple[int, int]:
        width_hz = self.sample_rate / self.n_fft
        return math.ceil(self.f_min / width_hz), math.ceil(self.f_max / width_hz)

    def frame_count(self, samples: int) -> int:
        """Frames of a sound of ``samples`` samples."""
        return samples // self.hop

    def frames(self, windows: Floats) -> Floats:
        """Raw frames: (n, window) samples in [-1, 1], pre-emphasised -> (n, bins)."""
        if not self.spectral:
            return np.array(windows, np.float32)
        if len(windows) <= _BLOCK:
            return self._decibels(windows)
        blocks = range(0, len(windows), _BLOCK)
        return np.concatenate([self._decibels(windows[first : first + _BLOCK]) for first in blocks])

    def _decibels(self, windows: Floats) -> Floats:
        padded = np.zeros((len(windows), self.n_fft), np.float32)  # rfft's own padding is slower
        np.multiply(windows, self._raised_window, out=padded[:, : self.window])
        spectra = np.fft.rfft(padded, norm="forward")
        power = (spectra.real**2 + spectra.imag**2).astype(np.float32, copy=False)
        if self.kind == "mel":
            energies = self._banded_mel_filters(power)
        else:
            energies = power[:, self.linear_bins]
        decibels: Floats = 10 * np.log10(np.maximum(energies, np.float32(self.floor)))
        return decibels

    @property
    def learns_voices(self) -> bool:
        """Whether a baseline makes a difference."""
        return self.spectral and self.normalise in ("voice", "onset")

    @property
    def streams(self) -> bool:
        """Whether a segment's features can be computed before the segment is over."""
        return self.spectral and self.normalise == "onset"

    def heard(self, frames: Floats) -> Baseline:
        """The baseline of raw frames (n, bins) of speech: the mean of the loud ones.

        These are the frames that are at least as loud as the average frame, as in ``normalise``.
        For a waveform there is no such mean: only the frames are counted.
        """
        if not self.spectral:
            return Baseline(np.zeros(self.bins, np.float32), len(frames))
        loud = speech_frames(self._within_range(frames))
        return Baseline(loud.mean(axis=0, dtype=np.float64).astype(np.float32), len(loud))

    def updated(self, baseline: Baseline, frames: Floats) -> Baseline:
        """The baseline after raw frames (n, bins) of one more stretch of the voice's speech."""
        return baseline.updated(self.heard(frames), self.baseline_frames)

    def normalised(self, frames: Floats, baseline: Baseline | None = None) -> Floats:
        """One window of raw frames (n, bins) as features (n, width); a new array.

        ``baseline``: of the voice, from before the window; without one the window stands alone.
        """
        if not self.spectral:
            return voiced_waveform.voiced_waveform(frames)
        if self.streams:
            return self.against(self.reference(frames, baseline), frames)
        features = self._within_range(frames)
        scaling.normalise(features, self.normalise, baseline, self.own_frames)
        features = scaling.rescaled(features, self.scale)
        return scaling.with_deltas(features, self.deltas) if self.deltas else features

    def reference(self, frames: Floats, baseline: Baseline | None = None) -> Reference:
        """The fixed normalisation of a segment; for ``streams`` only.

        ``frames``: raw ones (n, bins) from its beginning on, of which ``own_frames`` count.
        ``baseline``: of the voice, from before the segment.
        """
        own = self._within_range(frames[: self.own_frames])
        floor_db = np.float32(own.max() - np.float32(self.range_db))
        return Reference(floor_db, scaling.voice_mean(own, baseline, self.own_frames))

    def against(self, reference: Reference, frames: Floats) -> Floats:
        """Raw frames (n, bins) of a segment as features (n, width), each by itself."""
        return scaling.rescaled(reference.applied(frames), self.scale)

    def _within_range(self, frames: Floats) -> Floats:
        """A copy in which values more than ``range_db`` below the maximum are raised to that."""
        raised: Floats = np.maximum(frames, frames.max() - np.float32(self.range_db))
        return raised
