"""Speech of any length for benchmarks, out of a short sample."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import soundfile

from edgeser.audio.file import FileSource
from edgeser.audio.source import AudioBlock
from edgeser.errors import UserError
from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser.recognizer import Recognizer

log = logging.getLogger(__name__)


def samples_of(file: Path) -> Samples:
    """A sound file as 16 kHz mono, int16 (n,); of a damaged one what it holds, with a warning.

    Raises UserError.
    """
    blocks = []
    for item in FileSource(file, fast=True).blocks():
        if isinstance(item, AudioBlock):
            blocks.append(item.samples)
        else:
            log.warning(item.message)
    if not blocks:
        raise UserError(f"{file}: nothing of it can be read", "give another file")
    return np.concatenate(blocks)


def repeated(samples: Samples, seconds: float) -> Samples:
    """The sample again and again, for so long."""
    return np.resize(samples, round(seconds * SAMPLE_RATE))


def without_pauses(samples: Samples, file: Path) -> Samples:
    """Only the speech segments, one after the other. Raises UserError when there are none."""
    segments = [
        samples[round(event.start * SAMPLE_RATE) : round(event.end * SAMPLE_RATE)]
        for event in Recognizer().samples(samples)
    ]
    if not segments:
        raise UserError(f"{file}: there is no speech in it", "give another --speech")
    return np.concatenate(segments)


def write(samples: Samples, path: Path) -> None:
    """As a WAV file: cheap to read, so that the decoder is not what is measured."""
    soundfile.write(path, samples, SAMPLE_RATE, "PCM_16")
