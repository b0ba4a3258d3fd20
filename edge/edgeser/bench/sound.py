"""Speech of any length for benchmarks, made from a short sample."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import soundfile

from edgeser.audio.file import FileSource
from edgeser.audio.source import AudioBlock
from edgeser.errors import UserError
from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser.recognizer import Recognizer

log = logging.getLogger(__name__)

_SPARE_BYTES = 16_000_000
"""For the daemon's journal and log, which are in the temporary folder, too."""

_OTHER_FOLDER = "make room, or set TMPDIR to a folder that has it"


def samples_of(file: Path) -> Samples:
    """A sound file as 16 kHz mono, int16 (n,); a damaged one as far as readable, with a warning.

    Raises UserError.
    """
    blocks = []
    for item in FileSource(file, fast=True).blocks():
        if isinstance(item, AudioBlock):
            blocks.append(item.samples)
        else:
            log.warning(item.message)
    if not blocks:
        raise UserError(f"{file}: nothing in it can be read", "give another file")
    return np.concatenate(blocks)


def repeated(samples: Samples, seconds: float) -> Samples:
    """The sample repeated to this length."""
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


def check_room(folder: Path, seconds: float) -> None:
    """Raise UserError unless a temporary folder has room for so much sound in all its files."""
    needed = round(2 * seconds * SAMPLE_RATE) + _SPARE_BYTES
    if (free := shutil.disk_usage(folder).free) < needed:
        raise UserError(
            f"{folder}: {needed / 1e6:.0f} MB are needed there, {free / 1e6:.0f} MB are free",
            _OTHER_FOLDER,
        )


def write(samples: Samples, path: Path, seconds: float | None = None) -> None:
    """Write a WAV file: cheap to read, so that decoding does not distort the measurement.

    ``seconds``: repeat the samples to this length; None: once. Raises UserError if it has no room.
    """
    left = len(samples) if seconds is None else round(seconds * SAMPLE_RATE)
    try:
        with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16") as file:
            for first in range(0, left, len(samples)):
                file.write(samples[: left - first])
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"{path}: cannot be written ({error})", _OTHER_FOLDER) from error
