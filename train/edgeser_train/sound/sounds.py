"""The sound of a corpus: read once on all cores, kept on disk, mapped into memory."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from edgeser.pcm import Samples
from edgeser_train.corpora import Corpus
from edgeser_train.files import cached

DITHER = 2
"""Silent: at most so many 16-bit steps between the lowest and the highest sample."""


@dataclass(frozen=True, eq=False)
class Sounds:
    """The samples of all utterances, one after the other.

    ``samples``: int16 (all samples,), mapped from disk. ``bounds``: (utterances + 1,).
    ``folder``: where both lie.
    """

    samples: Samples
    bounds: npt.NDArray[np.int64]
    folder: Path

    @classmethod
    def opened(cls, folder: Path) -> Sounds:
        """Mapped from a folder of the cache. Raises OSError, ValueError or EOFError."""
        bounds = np.load(folder / "bounds.npy")
        return cls(np.memmap(folder / "samples.int16", np.int16, "r"), bounds, folder)

    def __reduce__(self) -> tuple[object, ...]:
        return Sounds.opened, (self.folder,)  # another process maps the same file

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def of(self, utterance: int) -> Samples:
        """What ``Utterance.samples`` gives, int16 (n,); the caller's own copy."""
        first, last = self.bounds[utterance], self.bounds[utterance + 1]
        return np.array(self.samples[first:last])


def load_sounds(corpus: Corpus, cache: Path) -> Sounds:
    """From the cache; if missing, read (with a progress bar on a terminal) and stored there.

    Raises UserError that names a file that cannot be read, or the cache that cannot be written.
    """

    def opened(folder: Path) -> Sounds:
        sounds = Sounds.opened(folder)
        if len(sounds) != len(corpus.utterances) or sounds.bounds[-1] != len(sounds.samples):
            raise ValueError("not as many samples as there should be")
        return sounds

    folder = cache / f"sounds-{corpus.fingerprint}"
    return cached(folder, lambda aside: _fill(aside, corpus), opened)


def tell_silent(corpus: Corpus, sounds: Sounds) -> None:
    """Say on standard error how many recordings are silent, and which is the first."""
    silent = [u.path for i, u in enumerate(corpus.utterances) if _is_silent(sounds.of(i))]
    if silent:
        Console(stderr=True, highlight=False).print(
            f"{corpus.name}: {len(silent)} of {len(corpus.utterances)} recordings are silent, "
            f"and used all the same; the first is {silent[0]}",
            markup=False,
            soft_wrap=True,
        )


def _is_silent(samples: Samples) -> bool:
    return not len(samples) or int(samples.max()) - int(samples.min()) <= DITHER


def _fill(folder: Path, corpus: Corpus) -> None:
    console = Console(stderr=True)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        bounds = [0]
        with (folder / "samples.int16").open("wb") as file:
            for samples in track(
                pool.map(lambda utterance: utterance.samples(), corpus.utterances),
                description=f"sound of {corpus.name}",
                total=len(corpus.utterances),
                console=console,
                disable=not console.is_terminal,
            ):
                samples.tofile(file)
                bounds.append(bounds[-1] + len(samples))
        np.save(folder / "bounds.npy", np.array(bounds, np.int64))
    finally:
        pool.shutdown(cancel_futures=True)
