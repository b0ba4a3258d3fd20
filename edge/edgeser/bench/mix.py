"""Synthetic backgrounds (rooms, noise, babble), and speech mixed with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgeser.pcm import FRAME_SAMPLES, FULL_SCALE, SAMPLE_RATE, Samples, as_samples

Noise: TypeAlias = npt.NDArray[np.float64]
"""(n,) of any level."""

_QUIET_RMS = 3.0
"""RMS of a quiet room, where full scale is 32768."""

_TALKERS = 6


def room(seconds: float, rms: float = _QUIET_RMS) -> Samples:
    """White noise with the given RMS, but at least that of a quiet room."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal(round(seconds * SAMPLE_RATE)) * max(rms, _QUIET_RMS)
    return as_samples((noise / FULL_SCALE).astype(np.float32))


def quietest(sound: Samples) -> Samples:
    """The quietest frame of 20 ms; the whole sound if it is shorter."""
    whole = len(sound) // FRAME_SAMPLES
    if not whole:
        return sound
    frames = sound[: whole * FRAME_SAMPLES].reshape(whole, FRAME_SAMPLES)
    quiet: Samples = frames[np.argmin(np.mean(frames.astype(np.float64) ** 2, axis=1))]
    return quiet


def mixed(
    sound: Samples, spoken: Sequence[tuple[int, int]], noise: Noise, snr_db: float
) -> Samples:
    """Sound and noise. ``snr_db``: power of the sound while somebody speaks over that of the noise.

    ``spoken``: where somebody speaks, in samples.
    """
    values = sound.astype(np.float64)
    speech = np.concatenate([values[a:b] for a, b in spoken] or [values])
    gain = np.sqrt(np.mean(speech**2) / max(1e-9, np.mean(noise**2)) / 10 ** (snr_db / 10))
    return as_samples(((values + gain * noise) / FULL_SCALE).astype(np.float32))


def pink(rng: np.random.Generator, samples: int) -> Noise:
    """Noise whose power falls by 3 dB an octave, from 20 Hz up."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    spectrum *= np.where(frequency < 20, 0, 1 / np.sqrt(np.maximum(frequency, 20)))
    noise: Noise = np.fft.irfft(spectrum, samples)
    return noise


def babble(rng: np.random.Generator, utterances: Sequence[Samples], samples: int) -> Noise:
    """Several people at once, equally loud, each beginning anywhere in an utterance."""
    sound = np.zeros(samples)
    for talker in rng.integers(len(utterances), size=_TALKERS):
        voice = np.roll(np.resize(utterances[talker], samples), rng.integers(samples))
        sound += voice / max(1.0, np.sqrt(np.mean(voice.astype(np.float64) ** 2)))
    return sound
