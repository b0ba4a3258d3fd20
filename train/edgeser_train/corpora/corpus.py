"""A corpus: labelled utterances of named speakers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        with (
            reading(self.path),
            self.path.open("rb") as file,
            soundfile.SoundFile(file.fileno(), closefd=False) as opened,
        ):
            cut_off, rate = is_cut_off(opened, file.fileno()), opened.samplerate
            sound = opened.read(dtype="float64", always_2d=True)
            cut_off = cut_off or breaks_off(opened, len(sound))
        mono = sound.mean(axis=1)
        wrong = ""
        if cut_off:
            wrong = f"the file is cut off after {len(sound) / rate:.2f} s"
        elif not len(mono):
            wrong = "the file is empty"
        elif not np.isfinite(mono).all():
            wrong = "some samples are NaN or infinite"
        if wrong:
            raise UserError(f"corpus file {self.path}: {wrong}", "replace the file")
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
    def source(self) -> str:
        """Its recordings, or its own name where they have none: what prefixes its speakers."""
        return self.recordings or self.name

    @property
    def corpora(self) -> tuple[str, ...]:
        """Names of the corpora that it was merged from, or its own."""
        return tuple(dict.fromkeys(self.corpus_of(u) for u in self.utterances))

    def corpus_of(self, utterance: Utterance) -> str:
        """The name of the corpus that an utterance came from: this one's, if it names none."""
        return utterance.corpus or self.name

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
            with reading(u.path):
                status = u.path.stat()
            line = f"{u.name} {u.label} {status.st_size} {status.st_mtime_ns}"
            digest.update(f"{line}{f' {TRIMMING}' if u.trim else ''}\n".encode())
        return digest.hexdigest()[:16]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raises UserError if a file of a corpus cannot be read in this block."""
    try:
        yield
    except (OSError, soundfile.SoundFileError, UnicodeDecodeError) as error:
        # The last two name the file by a number, or by its path once more.
        named = getattr(error, "error_string", None) or getattr(error, "strerror", None)
        reason = str(named or error).rstrip(".")
        raise UserError(
            f"corpus file {path}: cannot be read: {reason}", "make it readable, or replace it"
        ) from error


def check_corpus(corpus: object, name: str) -> None:
    """Check what the loader of that name returned: a corpus of utterances, each with a name of its
    own, a path and one of the labels. Raises UserError that says what is wrong.
    """
    fix = f"fix the loader of '{name}'"
    if not isinstance(corpus, Corpus):
        raise UserError(
            f"corpus '{name}': its loader returns {type(corpus).__name__}, not a Corpus", fix
        )
    if not corpus.utterances:
        raise UserError(f"corpus '{name}': its loader returns no utterances", fix)
    names: set[str] = set()
    for u in corpus.utterances:
        if u.name in names:
            raise UserError(f"corpus '{name}': two utterances are named {u.name}", fix)
        if not isinstance(u.path, Path):
            what = f"the path of {u.name} is of type {type(u.path).__name__}, not a Path"
            raise UserError(f"corpus '{name}': {what}", fix)
        if u.label not in corpus.labels:
            what = f"{u.name} has label {u.label}, but its labels are {', '.join(corpus.labels)}"
            raise UserError(f"corpus '{name}': {what}", fix)
        names.add(u.name)
