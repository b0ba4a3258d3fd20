"""Log-mel frames of a corpus and of varied copies of it, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from edgeser.audio.source import Samples
from edgeser.errors import UserError
from edgeser.features import FrontEnd
from edgeser.features.frames import features_of
from edgeser.features.front_end import Floats
from edgeser_train.augment import vary
from edgeser_train.corpora import Corpus
from edgeser_train.recipe import Recipe

_SEED = 20_05


@dataclass(frozen=True)
class CorpusFrames:
    """Un-normalised frames in dB of every copy of every utterance; copy 0 is as recorded.

    ``decibels``: (all frames, mels) float16, mapped from disk. ``bounds``: (utterances, copies, 2).
    """

    decibels: npt.NDArray[np.float16]
    bounds: npt.NDArray[np.int64]

    def of(self, utterance: int, copy: int) -> Floats:
        """(frames, mels) float32."""
        first, last = self.bounds[utterance, copy]
        return self.decibels[first:last].astype(np.float32)

    @property
    def copies(self) -> int:
        return int(self.bounds.shape[1])


def raw_frames(samples: Samples, front_end: FrontEnd) -> Floats:
    """Frames in dB before a window is normalised: int16 (n,) -> (n // hop, mels)."""
    unlimited = msgspec.structs.replace(front_end, normalise="none", range_db=1e3)
    return features_of(samples, unlimited)


def corpus_frames(corpus: Corpus, recipe: Recipe, cache: Path) -> CorpusFrames:
    """From the cache, or computed and put there. Raises UserError when the disk is full."""
    folder = cache / _key(corpus, recipe)
    if not folder.is_dir():
        try:
            _compute(corpus, recipe, folder)
        except OSError as error:
            raise UserError(f"cache {cache}: cannot be written: {error}") from error
    decibels = np.load(folder / "decibels.npy", mmap_mode="r")
    return CorpusFrames(decibels, np.load(folder / "bounds.npy"))


def _key(corpus: Corpus, recipe: Recipe) -> str:
    front_end = msgspec.structs.replace(recipe.front_end, normalise="none", range_db=1e3)
    parts = (front_end, recipe.waveform, recipe.variants, corpus.fingerprint, _SEED)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def _compute(corpus: Corpus, recipe: Recipe, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        pieces: list[npt.NDArray[np.float16]] = []
        bounds = np.zeros((len(corpus.utterances), max(1, recipe.variants), 2), np.int64)
        position = 0
        for i, utterance in enumerate(corpus.utterances):
            samples = utterance.samples()
            for copy in range(bounds.shape[1]):
                rng = np.random.default_rng((_SEED, i, copy))
                sound = vary(samples, recipe.waveform, rng) if copy else samples
                frames = raw_frames(sound, recipe.front_end).astype(np.float16)
                bounds[i, copy] = position, position + len(frames)
                position += len(frames)
                pieces.append(frames)
        np.save(aside / "decibels.npy", np.concatenate(pieces))
        np.save(aside / "bounds.npy", bounds)
        if not folder.is_dir():
            os.rename(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
