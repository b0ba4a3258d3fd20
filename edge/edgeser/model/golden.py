"""The deterministic test sound behind an artefact's golden vectors."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edgeser.pcm import SAMPLE_RATE, Samples

_FORMANTS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))


@lru_cache(maxsize=4)  # models share them, and making one takes longer than scoring it
def waveform(seed: int, seconds: float) -> Samples:
    """A voice-like sound, int16 (n,): gliding harmonics, moving formants, breath noise, pauses.

    Everything in it changes over time and frequency, so that a wrong mel table or a shift by one
    frame changes the scores. Read-only.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    n = round(seconds * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    pitch_hz = rng.uniform(90, 240) * 2 ** (0.4 * np.sin(2 * np.pi * rng.uniform(0.3, 0.9) * t))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE
    vowels = np.array(_FORMANTS_HZ, float)[rng.permutation(len(_FORMANTS_HZ))]
    anchors_s = np.linspace(0, seconds, len(vowels))
    formants_hz = [np.interp(t, anchors_s, column) for column in vowels.T]
    sound = np.zeros(n)
    for harmonic in range(1, 41):
        frequency = harmonic * pitch_hz
        gain = sum(1 / (1 + ((frequency - f) / 120) ** 2) for f in formants_hz)
        sound += (gain / harmonic**0.5) * (frequency < 7600) * np.sin(harmonic * phase)
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * rng.uniform(2.5, 5) * t + rng.uniform(0, 6))
    sound = sound * syllables + 0.01 * rng.standard_normal(n)
    peak = float(np.abs(sound).max())
    samples: Samples = np.round(sound / peak * 0.5 * 32767).astype(np.int16)
    samples.setflags(write=False)
    return samples
