"""Speech for tests: the repository's synthetic sample, and voice-like sounds with pauses."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile

from edgeser.bench import SPEECH_FILE
from edgeser.model.golden import waveform
from edgeser.pcm import Samples

SPEECH_SEGMENTS = 5


def speech() -> Samples:
    """The sample as int16 (n,)."""
    samples, rate = soundfile.read(SPEECH_FILE, dtype="int16")
    assert rate == 16_000
    return np.asarray(samples)


def silence(seconds: float) -> Samples:
    """Digital silence."""
    return np.zeros(round(seconds * 16_000), np.int16)


def noise(seconds: float, rms: float = 3.0) -> Samples:
    """White noise, as a quiet room gives it."""
    rng = np.random.default_rng(1)
    return np.round(rng.standard_normal(round(seconds * 16_000)) * rms).astype(np.int16)


def monologue(seconds: float) -> Samples:
    """A voice that never pauses."""
    pieces = [waveform(seed, 2.0) for seed in range(round(seconds / 2))]
    return np.concatenate(pieces)


def corpus(name: str) -> Path | None:
    """A folder of recorded speech, where the developer has one: ``$EDGESER_DATA/name``."""
    folder = Path(os.environ.get("EDGESER_DATA", "../shared/data")) / name
    return folder if folder.is_dir() else None
