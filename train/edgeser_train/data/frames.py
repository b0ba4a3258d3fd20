"""Frames of a corpus and of varied copies of it, computed once and kept on disk."""

from __future__ import annotations

import ast
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from edgeser import features
from edgeser.errors import UserError
from edgeser.features import FrontEnd
from edgeser.features.frames import raw_frames
from edgeser.features.front_end import Floats
from edgeser.speech import vad
from edgeser_train import sound
from edgeser_train.corpora import Corpus
from edgeser_train.files import cached
from edgeser_train.sound.augment import WaveformAugmentation, vary
from edgeser_train.sound.sounds import Sounds, load_sounds
from edgeser_train.workers import Workers

_SEED = 20_05
_FEW = 64
"""Up to so many copies are made in this process: starting workers would take longer."""
_SOURCES = (
    *sorted(Path(features.__file__).parent.glob("*.py")),
    *sorted(Path(sound.__file__).parent.glob("*.py")),
    Path(vad.__file__),
    Path(__file__),
)
"""The code that makes frames and copies: a cache that another version of it made is not used."""

Stored: TypeAlias = npt.NDArray[np.floating]


class Copies(Protocol):
    """The part of a recipe that says which frames are made of a recording.

    ``variants`` copies, the first as recorded, the others varied by ``waveform``; each of them by
    every one of ``front_ends``, of which ``front_end`` is the first. ``copies_of``: whether every
    utterance is varied in its own way, or all of a voice in the same way.
    """

    @property
    def front_end(self) -> FrontEnd: ...
    @property
    def front_ends(self) -> list[FrontEnd]: ...
    @property
    def waveform(self) -> WaveformAugmentation | None: ...
    @property
    def variants(self) -> int: ...
    @property
    def copies_of(self) -> Literal["utterance", "voice"]: ...


@dataclass(frozen=True)
class CorpusFrames:
    """Un-normalised frames of every copy of every utterance; copy 0 is as recorded.

    ``rows``: (all frames, bins), float16, or float32 for a waveform, mapped from disk.
    ``bounds``: (utterances, copies, 2).
    """

    rows: Stored
    bounds: npt.NDArray[np.int64]

    def of(self, utterance: int, copy: int) -> Floats:
        """(frames, bins) float32."""
        first, last = self.bounds[utterance, copy]
        return self.rows[first:last].astype(np.float32)

    @property
    def copies(self) -> int:
        return int(self.bounds.shape[1])


def corpus_frames(corpus: Corpus, recipe: Copies, cache: Path) -> CorpusFrames:
    """From the cache, or computed and stored there.

    Raises UserError when a file is shorter than a frame, the disk is full, a worker was killed, or
    the cache is damaged.
    """

    def opened(folder: Path) -> CorpusFrames:
        rows = np.load(folder / "rows.npy", mmap_mode="r")
        bounds = np.load(folder / "bounds.npy")
        if len(bounds) != len(corpus.utterances) or bounds[-1, -1, -1] != len(rows):
            raise ValueError("not as many frames as there should be")
        return CorpusFrames(rows, bounds)

    folder = cache / _key(corpus, recipe)
    return cached(folder, lambda aside: _fill(aside, corpus, recipe, cache), opened)


def _key(corpus: Corpus, recipe: Copies) -> str:
    windows_only = {
        "normalise": "none",
        "range_db": 80.0,
        "scale": "db",
        "deltas": 0,
        "own_frames": 50,
        "baseline_frames": 3000,
    }
    raw = [msgspec.structs.replace(front_end, **windows_only) for front_end in recipe.front_ends]
    parts: tuple[object, ...] = (
        raw,
        recipe.waveform,
        recipe.variants,
        corpus.fingerprint,
        _SEED,
        _code(),
    )
    if recipe.copies_of == "voice":
        parts += ([u.speaker for u in corpus.utterances],)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def _code() -> str:
    """A digest of what the code does: without comments, docstrings and layout."""
    digest = hashlib.sha256()
    for path in _SOURCES:
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                node.body = [s for s in node.body if not _is_docstring(s)]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _fill(folder: Path, corpus: Corpus, recipe: Copies, cache: Path) -> None:
    copies = recipe.variants * len(recipe.front_ends)
    bounds = np.zeros((len(corpus.utterances), copies, 2), np.int64)
    position = 0
    with (folder / "rows").open("wb") as file:
        for i, copied in enumerate(_copies_of_all(corpus, recipe, cache)):
            for copy, frames in enumerate(copied):
                bounds[i, copy] = position, position + len(frames)
                position += len(frames)
                frames.tofile(file)
    kind, bins = _stored(recipe.front_end), recipe.front_end.bins
    raw = np.memmap(folder / "rows", kind, "r", shape=(position, bins))
    np.save(folder / "rows.npy", raw)
    (folder / "rows").unlink()
    np.save(folder / "bounds.npy", bounds)


def _copies_of_all(corpus: Corpus, recipe: Copies, cache: Path) -> Iterator[list[Stored]]:
    sounds = load_sounds(corpus, cache)
    hop = recipe.front_end.hop
    for utterance, samples in zip(corpus.utterances, np.diff(sounds.bounds), strict=True):
        if samples < hop:
            raise UserError(
                f"corpus file {utterance.path}: {samples} samples, a frame takes {hop}",
                "replace the file, or remove it from the corpus",
            )
    voices = [u.speaker if recipe.copies_of == "voice" else "" for u in corpus.utterances]
    jobs = list(enumerate(voices))
    work = partial(_copies, recipe, sounds)
    console = Console(stderr=True)
    if len(jobs) * recipe.variants * len(recipe.front_ends) <= _FEW:
        yield from map(work, jobs)
        return
    with Workers(os.cpu_count()) as pool:
        yield from track(
            pool.map(work, jobs, chunksize=8),
            description=f"frames of {corpus.name}",
            total=len(jobs),
            console=console,
            disable=not console.is_terminal,
        )


def _copies(recipe: Copies, sounds: Sounds, job: tuple[int, str]) -> list[Stored]:
    i, voice = job
    samples = sounds.of(i)
    copies: list[Stored] = []
    for copy in range(recipe.variants):
        varied = samples
        if copy and recipe.waveform is not None:
            varied = vary(samples, recipe.waveform, *_generators(voice, i, copy))
            if len(varied) < recipe.front_end.hop:  # its speed left less than a frame
                varied = samples
        copies += [
            raw_frames(varied, front_end).astype(_stored(front_end))
            for front_end in recipe.front_ends
        ]
    return copies


def _generators(voice: str, i: int, copy: int) -> tuple[np.random.Generator, ...]:
    """Random generators to vary utterance ``i`` with; with a ``voice`` two: one that all of its
    utterances share, and the utterance's own for the noise.
    """
    own = np.random.default_rng((_SEED, i, copy))
    if not voice:
        return (own,)
    return np.random.default_rng((_SEED, zlib.crc32(voice.encode()), copy, 1)), own


def _stored(front_end: FrontEnd) -> type[np.float16] | type[np.float32]:
    return np.float16 if front_end.spectral else np.float32
