"""A corpus: labelled utterances of named speakers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from edgeser.audio.truncation import breaks_off, is_cut_off
from edgeser.errors import UserError
from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser_train.corpora.trim import TRIMMING, speech_of

LABELS = (
    "angry",
    "bored",
    "calm",
    "disgusted",
    "fearful",
    "happy",
    "neutral",
    "sad",
    "surprised",
)
"""Names of the classes that corpora share. FAU-Aibo has its own, a manifest may have any."""

LICENCES = (
    "CC0-1.0",
    "CC-BY-4.0",
    "ODbL-1.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
)
"""From the freest to the strictest; every other licence is stricter than these."""


@dataclass(frozen=True)
class Utterance:
    """One labelled recording, and what its corpus says about it.

    ``name``: unique in its corpus. ``corpus``: the name of the corpus it came from.
    ``gender``: "female", "male" or "" where not known. ``style``: "improvised", "scripted" or "".
    ``session``: of a corpus recorded in pairs, else "". ``part``: "train", "validation" or "test"
    where the corpus fixes that, else "". ``agreement``: the share of the annotators' votes that
    the label got, 0 to 1. ``valence``, ``arousal``: on the corpus's own scale.
    ``group``: utterances of one group stay in one part of a fold; "" is a group of its own.
    ``trim``: only the speech of the file is used, see ``trim.speech_of``.
    """

    name: str
    path: Path
    speaker: str
    label: str
    corpus: str = ""
    gender: str = ""
    style: str = ""
    session: str = ""
    part: str = ""
    agreement: float | None = None
    valence: float | None = None
    arousal: float | None = None
    group: str = ""
    trim: bool = False

    def samples(self) -> Samples:
        """The sound, int16 mono 16 kHz (n,).

        Raises UserError when the file cannot be read, or holds less than it promises.
        """
        try:
            with (
                self.path.open("rb") as file,
                soundfile.SoundFile(file.fileno(), closefd=False) as opened,
            ):
                cut_off, rate = is_cut_off(opened, file.fileno()), opened.samplerate
                sound = opened.read(dtype="float64", always_2d=True)
                cut_off = cut_off or breaks_off(opened, len(sound))
        except (OSError, soundfile.SoundFileError) as error:
            raise UserError(f"corpus file {self.path}: cannot be read: {error}") from error
        if cut_off:
            raise UserError(
                f"corpus file {self.path}: the file is cut off, it holds {len(sound) / rate:.2f} s",
                "replace the file",
            )
        mono = sound.mean(axis=1)
        if not len(mono) or not np.isfinite(mono).all():
            raise UserError(
                f"corpus file {self.path}: empty, or not all numbers", "replace the file"
            )
        if rate != SAMPLE_RATE:
            mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="VHQ")
        samples: Samples = np.clip(np.round(mono * 32768), -32768, 32767).astype(np.int16)
        return speech_of(samples) if self.trim else samples


@dataclass(frozen=True)
class Release:
    """A registered corpus: how it is read, and what is known of it without reading it.

    ``load``: from its folder or file to the corpus; raises UserError. ``recordings``: what it is a
    selection of, e.g. "ravdess"; selections of the same recordings share speakers, whom no other
    corpus has. "" where that depends on the file; then the ``licence`` is not known here, either.
    ``attribution``: the credit that the licence demands of a model trained on it.
    """

    load: Callable[[Path], Corpus]
    recordings: str = ""
    licence: str = ""
    attribution: str = ""


@dataclass(frozen=True)
class Corpus:
    """A corpus in memory, without its sound; the order of ``utterances`` is part of it.

    ``recordings``: what it is a selection of, e.g. "ravdess"; corpora that share it share speakers.
    """

    name: str
    licence: str
    labels: tuple[str, ...]
    utterances: tuple[Utterance, ...]
    recordings: str = ""

    @property
    def speakers(self) -> tuple[str, ...]:
        return tuple(sorted({u.speaker for u in self.utterances}))

    @property
    def corpora(self) -> tuple[str, ...]:
        """Names of the corpora that it was merged from, or its own."""
        return tuple(dict.fromkeys(u.corpus or self.name for u in self.utterances))

    @cached_property
    def targets(self) -> npt.NDArray[np.int64]:
        """Index of each utterance's label (utterances,)."""
        return np.array([self.labels.index(u.label) for u in self.utterances], np.int64)

    @property
    def fingerprint(self) -> str:
        """Changes with any utterance's name, label or file, and with how files are trimmed.

        Raises UserError when a file is gone.
        """
        digest = hashlib.sha256()
        for u in self.utterances:
            try:
                status = u.path.stat()
            except OSError as error:
                raise UserError(f"corpus file {u.path}: cannot be read: {error}") from error
            line = f"{u.name} {u.label} {status.st_size} {status.st_mtime_ns}"
            digest.update(f"{line}{f' {TRIMMING}' if u.trim else ''}\n".encode())
        return digest.hexdigest()[:16]


def check_corpus(corpus: object, name: str) -> None:
    """Check what the loader of that name returned: a corpus of utterances, each with a name of its
    own, a path and one of the labels. Raises UserError that says what is wrong.
    """
    fix = f"fix the loader of '{name}'"
    if not isinstance(corpus, Corpus):
        raise UserError(f"corpus '{name}': load gives {type(corpus).__name__}, no Corpus", fix)
    if not corpus.utterances:
        raise UserError(f"corpus '{name}': load gives no utterances", fix)
    names: set[str] = set()
    for u in corpus.utterances:
        if u.name in names:
            raise UserError(f"corpus '{name}': two utterances are named {u.name}", fix)
        if not isinstance(u.path, Path):
            what = f"the path of {u.name} is of type {type(u.path).__name__}, no Path"
            raise UserError(f"corpus '{name}': {what}", fix)
        if u.label not in corpus.labels:
            what = f"{u.name} is {u.label}, which is none of its labels {', '.join(corpus.labels)}"
            raise UserError(f"corpus '{name}': {what}", fix)
        names.add(u.name)
