"""Baselines drawn in training as a device will have them: some earlier speech of the same voice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from edgeser.features import Baseline, FrontEnd
from edgeser_train.corpora import Corpus
from edgeser_train.data.frames import CorpusFrames

Range = tuple[float, float]


class BaselineDraw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a window is judged against in training, where the front end learns voices.

    With ``none_chance`` nothing; else as many utterances of the same speaker, never the window's
    own, as ``utterances`` says (drawn evenly on a logarithmic scale), a share out of ``neutral`` of
    them with the label ``label`` as far as there are such, the others with any. ``level_db``: the
    deviation of the level at which they were heard, so that a step towards the microphone is no
    emotion.
    """

    none_chance: float = 0.2
    utterances: tuple[int, int] = (1, 16)
    neutral: Range = (0.6, 1.0)
    label: str = "neutral"
    level_db: float = 0.0

    def __post_init__(self) -> None:
        fewest, most = self.utterances
        low, high = self.neutral
        if not 0 <= self.none_chance <= 1 or not 0 <= low <= high <= 1:
            raise ValueError("baselines: none_chance and neutral must be in [0, 1]")
        if not 1 <= fewest <= most or self.level_db < 0:
            raise ValueError("baselines: need 1 <= utterances, low first, and level_db >= 0")


class Voices:
    """What the voices of a training part sound like, utterance by utterance."""

    def __init__(
        self,
        corpus: Corpus,
        frames: CorpusFrames,
        front_end: FrontEnd,
        part: Sequence[int],
        draw: BaselineDraw,
    ) -> None:
        self._draw = draw
        self._front_end = front_end
        self._speaker = [u.speaker for u in corpus.utterances]
        self._all: dict[str, list[int]] = defaultdict(list)
        self._neutral: dict[str, list[int]] = defaultdict(list)
        shape = len(corpus.utterances), frames.copies
        self._sums: npt.NDArray[np.float32] = np.zeros((*shape, front_end.bins), np.float32)
        self._counts: npt.NDArray[np.int64] = np.zeros(shape, np.int64)
        for i in part:
            utterance = corpus.utterances[i]
            self._all[utterance.speaker].append(i)
            if utterance.label == draw.label:
                self._neutral[utterance.speaker].append(i)
            for copy in range(frames.copies):
                heard = front_end.heard(frames.of(i, copy))
                self._sums[i, copy] = heard.mean * np.float32(heard.frames)
                self._counts[i, copy] = heard.frames

    def baseline(self, utterance: int, copy: int, rng: np.random.Generator) -> Baseline | None:
        """Of the voice that said it, in the same copy; None where nothing was heard of it."""
        draw = self._draw
        if rng.random() < draw.none_chance:
            return None
        fewest, most = draw.utterances
        number = int(np.exp(rng.uniform(np.log(fewest), np.log(most + 1))))
        share = rng.uniform(*draw.neutral)
        speaker = self._speaker[utterance]
        everything, neutral = self._all[speaker], self._neutral[speaker]
        chosen = []
        for _ in range(number):
            pool = neutral if neutral and rng.random() < share else everything
            chosen.append(pool[int(rng.integers(len(pool)))])
        chosen = [i for i in chosen if i != utterance]
        if not chosen:
            return None
        count = int(self._counts[chosen, copy].sum())
        level_db = np.float32(rng.normal(0, draw.level_db)) if draw.level_db else np.float32(0)
        mean = self._sums[chosen, copy].sum(axis=0) / np.float32(count) + level_db
        return Baseline(mean, min(count, self._front_end.baseline_frames))
