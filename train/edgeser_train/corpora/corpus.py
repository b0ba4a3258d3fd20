"""A corpus: labelled utterances of named speakers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from edgeser.audio.source import SAMPLE_RATE, Samples
from edgeser.errors import UserError


@dataclass(frozen=True)
class Utterance:
    """One labelled recording."""

    name: str
    path: Path
    speaker: str
    label: str

    def samples(self) -> Samples:
        """The sound, int16 mono 16 kHz (n,). Raises UserError when it cannot be read."""
        try:
            sound, rate = soundfile.read(self.path, dtype="float64", always_2d=True)
        except (OSError, soundfile.SoundFileError) as error:
            raise UserError(f"corpus file {self.path}: cannot be read: {error}") from error
        mono = sound.mean(axis=1)
        if not len(mono) or not np.isfinite(mono).all():
            raise UserError(f"corpus file {self.path}: empty, or not all numbers; replace the file")
        if rate != SAMPLE_RATE:
            mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="VHQ")
        samples: Samples = np.clip(np.round(mono * 32768), -32768, 32767).astype(np.int16)
        return samples


@dataclass(frozen=True)
class Corpus:
    """A corpus in memory, without its sound; the order of ``utterances`` is part of it."""

    name: str
    licence: str
    labels: tuple[str, ...]
    utterances: tuple[Utterance, ...]

    @property
    def speakers(self) -> tuple[str, ...]:
        return tuple(sorted({u.speaker for u in self.utterances}))

    @property
    def targets(self) -> tuple[int, ...]:
        """Index of each utterance's label."""
        return tuple(self.labels.index(u.label) for u in self.utterances)

    @property
    def fingerprint(self) -> str:
        """Changes with any utterance's name, label or file."""
        digest = hashlib.sha256()
        for u in self.utterances:
            status = u.path.stat()
            line = f"{u.name} {u.label} {status.st_size} {status.st_mtime_ns}\n"
            digest.update(line.encode())
        return digest.hexdigest()[:16]
