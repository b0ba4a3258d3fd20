"""Augmentation: other voices, rooms and microphones from one recording.

Waveforms are varied before training, once (``vary``); spectrograms in every batch (``warp``,
``mask``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import soxr

from edgeser.features.front_end import Floats
from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser_train.sound import codec

Doubles = npt.NDArray[np.float64]
Range = tuple[float, float]

_RIPPLES = 6
_SHORTEST = 8
"""Fewest frames of a piece that stays short (``keep_short``)."""


class WaveformAugmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a recording is varied. ``*_chance`` is the probability of a step, in [0, 1].

    In this order: another ``speed``, a random frequency response of at most ``tilt_db``, a room
    whose reverberation lasts ``room_s`` and has ``room_level`` times the amplitude of the direct
    sound (RMS; 1 at the critical distance, more beyond it), noise, a band-pass from ``low_hz`` to
    ``high_hz``, a codec (G.711 at 8 kHz, or Vorbis at low quality), and a peak level.
    """

    speed: Range = (0.85, 1.18)
    speed_chance: float = 0.85
    tilt_db: float = 6.0
    tilt_chance: float = 0.5
    room_s: Range = (0.1, 0.4)
    room_level: Range = (0.2, 0.8)
    room_chance: float = 0.25
    snr_db: Range = (10.0, 35.0)
    noise_chance: float = 0.5
    low_hz: Range = (50.0, 400.0)
    high_hz: Range = (2800.0, 7500.0)
    band_chance: float = 0.2
    codec_chance: float = 0.2
    peak_dbfs: Range = (-30.0, -1.0)

    def __post_init__(self) -> None:
        for name in ("speed", "room_level", "low_hz", "high_hz"):
            _check_range(f"waveform: {name}", getattr(self, name), above=0)
        _check_range("waveform: room_s", self.room_s, above=1e-3)
        for name in ("snr_db", "peak_dbfs"):
            _check_range(f"waveform: {name}", getattr(self, name))
        for name in ("speed", "tilt", "room", "noise", "band", "codec"):
            if not 0 <= getattr(self, f"{name}_chance") <= 1:
                raise ValueError(f"waveform: {name}_chance must be in [0, 1]")
        if self.tilt_db < 0:
            raise ValueError("waveform: tilt_db must be at least 0")


class SpectrogramAugmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a window of log-mel frames is varied in a batch.

    ``tempo`` and ``mel_warp`` are ranges of factors. ``tilt_db`` is the largest slope of a random
    response from the lowest to the highest band (a brighter or duller voice or microphone), and
    ``ripple_db`` the largest of its smooth bumps. ``time_masks`` of at most ``time_mask``
    (share of the window) and ``mel_masks`` of at most ``mel_mask`` bands are blanked
    (SpecAugment); ``mixup`` is the parameter of its Beta distribution, 0 for none.
    From ``range_db``, if given, the front end's ``range_db`` is drawn for every window: another
    noise floor. A recording shorter than a piece is padded with its own quietest level, or stays
    short with ``keep_short``.
    """

    tempo: Range = (0.85, 1.18)
    mel_warp: Range = (0.93, 1.07)
    tilt_db: float = 16.0
    ripple_db: float = 3.0
    time_masks: int = 2
    time_mask: float = 0.12
    mel_masks: int = 2
    mel_mask: int = 16
    mixup: float = 0.0
    range_db: Range | None = None
    keep_short: bool = False

    def __post_init__(self) -> None:
        _check_range("spectrogram: tempo", self.tempo, above=0)
        _check_range("spectrogram: mel_warp", self.mel_warp, above=0)
        if self.range_db is not None:
            _check_range("spectrogram: range_db", self.range_db, above=0)
        for name in ("tilt_db", "ripple_db", "time_masks", "mel_masks", "mel_mask", "mixup"):
            if getattr(self, name) < 0:
                raise ValueError(f"spectrogram: {name} must be at least 0")
        if not 0 <= self.time_mask <= 1:
            raise ValueError("spectrogram: time_mask must be in [0, 1], a share of the window")


def _check_range(name: str, values: Range, above: float = -math.inf) -> None:
    low, high = values
    if not above < low <= high:
        least = "" if math.isinf(above) else f" above {above:g}"
        raise ValueError(f"{name} must be [low, high] with low <= high{least}, got [{low}, {high}]")


def vary(
    samples: Samples,
    spec: WaveformAugmentation,
    rng: np.random.Generator,
    noise_rng: np.random.Generator | None = None,
) -> Samples:
    """One random variation of a recording, int16 (n,) -> int16 (m,).

    If every recording has a ``noise_rng`` of its own, equal ``rng`` give all of them the same
    change of voice, room and microphone.
    """
    noise_rng = noise_rng or rng
    x = samples.astype(np.float64) / 32768
    if rng.random() < spec.speed_chance:
        factor = np.exp(rng.uniform(*np.log(spec.speed)))
        x = soxr.resample(x, SAMPLE_RATE * factor, SAMPLE_RATE)
    if rng.random() < spec.tilt_chance:
        x = _filtered(x, spec.tilt_db, rng)
    if rng.random() < spec.room_chance:
        x = _in_room(x, rng.uniform(*spec.room_s), spec.room_level, rng)
    if rng.random() < spec.noise_chance:
        x = x + _noise(len(x), noise_rng) * _rms(x) * 10 ** (-rng.uniform(*spec.snr_db) / 20)
    if rng.random() < spec.band_chance:
        x = _band_limited(x, rng.uniform(*spec.low_hz), rng.uniform(*spec.high_hz))
    if rng.random() < spec.codec_chance:
        x = codec.g711(x) if rng.random() < 0.5 else codec.vorbis(x, rng.uniform(0.5, 1.0))
    peak = 10 ** (rng.uniform(*spec.peak_dbfs) / 20)
    x = x / max(float(np.abs(x).max()), 1e-9) * peak
    return np.round(x * 32767).astype(np.int16)


@dataclass(frozen=True)
class Warped:
    """A varied piece of frames (length, mels) in dB, and what was done to its bands."""

    piece: Floats
    bands: Doubles
    response_db: Floats

    def spectrum(self, mean: Floats) -> Floats:
        """Another spectrum (mels,) of the same voice and microphone, varied in the same way."""
        return _interpolated(mean[:, None], self.bands)[:, 0] + self.response_db


def warp(
    frames: Floats, length: int, spec: SpectrogramAugmentation, rng: np.random.Generator
) -> Warped:
    """A random piece (length, mels) of un-normalised frames (n, mels) in dB.

    Its tempo and mel axis are warped (linear interpolation). A recording that is too short is
    padded at random on both sides with its own quietest level, or with ``keep_short`` gives a
    shorter piece.
    """
    mels = frames.shape[1]
    step = rng.uniform(*spec.tempo)
    if spec.keep_short:
        length = min(length, max(_SHORTEST, int((len(frames) - 1) / step) + 1))
    needed = round((length - 1) * step) + 1
    missing = needed - len(frames)
    if missing > 0:
        before = int(rng.integers(0, missing + 1))
        frames = _embedded(frames, before, missing - before, rng)
    first = rng.uniform(0, len(frames) - 1 - (length - 1) * step) if missing < 0 else 0.0
    rows = np.clip(first + step * np.arange(length), 0, len(frames) - 1)
    piece = _interpolated(frames, rows)
    bands = np.clip(np.arange(mels) * rng.uniform(*spec.mel_warp), 0, mels - 1)
    warped_bands = np.ascontiguousarray(_interpolated(piece.T, bands).T)
    response_db = _response_db(mels, spec, rng)
    return Warped(warped_bands + response_db, bands, response_db)


def mask(features: Floats, spec: SpectrogramAugmentation, rng: np.random.Generator) -> None:
    """Set random spans of time and of bands of normalised features (n, mels) to their mean."""
    blank = features.mean()
    frames, mels = features.shape
    for _ in range(spec.time_masks):
        width = int(rng.integers(0, int(spec.time_mask * frames) + 1))
        first = int(rng.integers(0, frames - width + 1))
        features[first : first + width] = blank
    for _ in range(spec.mel_masks):
        width = int(rng.integers(0, spec.mel_mask + 1))
        first = int(rng.integers(0, mels - width + 1))
        features[:, first : first + width] = blank


def _response_db(mels: int, spec: SpectrogramAugmentation, rng: np.random.Generator) -> Floats:
    """A random smooth response, (mels,) in dB."""
    slope = rng.uniform(-spec.tilt_db, spec.tilt_db) * np.linspace(-0.5, 0.5, mels)
    knots = np.linspace(0, mels - 1, _RIPPLES)
    bumps = np.interp(
        np.arange(mels), knots, rng.uniform(-spec.ripple_db, spec.ripple_db, _RIPPLES)
    )
    return (slope + bumps).astype(np.float32)


def _interpolated(rows: Floats, positions: Doubles) -> Floats:
    low = np.minimum(positions.astype(np.int64), len(rows) - 2)
    share = (positions - low).astype(np.float32)[:, None]
    between: Floats = rows[low] * (1 - share) + rows[low + 1] * share
    return between


def _embedded(frames: Floats, before: int, after: int, rng: np.random.Generator) -> Floats:
    quiet = np.quantile(frames, 0.05, axis=0).astype(np.float32)
    around = quiet + rng.normal(0, 2, (before + after, frames.shape[1])).astype(np.float32)
    return np.concatenate((around[:before], frames, around[before:]))


def _filtered(x: Doubles, spread_db: float, rng: np.random.Generator) -> Doubles:
    """Filtered by a smooth random response: another microphone, another distance."""
    spectrum = np.fft.rfft(x)
    hz = np.linspace(0, SAMPLE_RATE / 2, len(spectrum))
    knots_hz = np.geomspace(60, SAMPLE_RATE / 2, 7)
    gains_db = np.interp(hz, knots_hz, rng.uniform(-spread_db, spread_db, len(knots_hz)))
    return np.fft.irfft(spectrum * 10 ** (gains_db / 20), len(x))


def _in_room(x: Doubles, reverberation_s: float, level: Range, rng: np.random.Generator) -> Doubles:
    """With an exponentially decaying diffuse tail: -60 dB after ``reverberation_s``, its amplitude
    within ``level`` times that of the direct sound.
    """
    t = np.arange(int(reverberation_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / reverberation_s)
    tail *= rng.uniform(*level) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    size = len(x) + len(tail)
    return np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(tail, size), size)[: len(x)]


def _band_limited(x: Doubles, low_hz: float, high_hz: float) -> Doubles:
    """Band-pass filtered; the slopes are half an octave wide."""
    spectrum = np.fft.rfft(x)
    octaves = np.log2(np.maximum(np.linspace(0, SAMPLE_RATE / 2, len(spectrum)), 1.0))
    rising = np.clip((octaves - np.log2(low_hz)) * 2 + 1, 0, 1)
    falling = np.clip((np.log2(high_hz) - octaves) * 2 + 1, 0, 1)
    return np.fft.irfft(spectrum * np.sin(np.pi / 2 * np.minimum(rising, falling)) ** 2, len(x))


def _noise(n: int, rng: np.random.Generator) -> Doubles:
    """Noise of power 1 whose spectrum falls by 0 (white) to 6 dB an octave (brown)."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    slope = rng.uniform(0, 1)
    spectrum[1:] /= np.arange(1, len(spectrum)) ** slope
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, n)
    return noise / max(_rms(noise), 1e-12)


def _rms(x: Doubles) -> float:
    return float(np.sqrt(np.mean(x**2)))
