"""Baselines drawn in training as a device will have them: some earlier speech of the same voice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from edgeser.features import Baseline, FrontEnd
from edgeser.features.front_end import Floats
from edgeser_train.corpora import Corpus
from edgeser_train.data.frames import CorpusFrames

Range = tuple[float, float]
Generator = np.random.Generator

_ANY_CHANCE = 0.2
"""Of an episode in which what is known of the voice was said in any mood, not mostly neutral."""


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


class Episodes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Batches out of episodes, so that logits are learnt to be centred by voice.

    An episode is one voice in one room: ``queries`` of its utterances, its classes evenly, which
    count in the loss, and ``known`` others, with labels like those of its baseline, which do not.
    The logits of a query are relative to the mean of those of some of the known ones, as
    ``model.centring.Centring`` has it. Where the episode has no baseline, they stand alone.
    """

    queries: int = 10
    known: int = 4
    own_frames: int = 150
    most_frames: int = 3000

    def __post_init__(self) -> None:
        if min(self.queries, self.known, self.own_frames, self.most_frames) < 1:
            raise ValueError("episodes: all must be at least 1")


@dataclass(frozen=True)
class Episode:
    """Utterances of one voice, the queries first; ``enrolled``: what the baseline of all is of."""

    utterances: list[int]
    queries: int
    copy: int
    enrolled: list[int]
    level_db: float


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
        self._by_label: dict[str, dict[str, list[int]]] = defaultdict(dict)
        shape = len(corpus.utterances), frames.copies
        self._sums: npt.NDArray[np.float32] = np.zeros((*shape, front_end.bins), np.float32)
        self._counts: npt.NDArray[np.int64] = np.zeros(shape, np.int64)
        for i in part:
            utterance = corpus.utterances[i]
            self._all[utterance.speaker].append(i)
            self._by_label[utterance.speaker].setdefault(utterance.label, []).append(i)
            if utterance.label == draw.label:
                self._neutral[utterance.speaker].append(i)
            for copy in range(frames.copies if front_end.learns_voices else 0):
                heard = front_end.heard(frames.of(i, copy))
                self._sums[i, copy] = heard.mean * np.float32(heard.frames)
                self._counts[i, copy] = heard.frames

    def baseline(self, utterance: int, copy: int, rng: Generator) -> Baseline | None:
        """Of the voice that said it, in the same copy; None where nothing was heard of it."""
        if rng.random() < self._draw.none_chance:
            return None
        speaker = self._speaker[utterance]
        chosen = self._some(speaker, self._number(rng), rng.uniform(*self._draw.neutral), rng)
        return self._of(chosen, utterance, copy, self._level_db(rng))

    def episode(self, episodes: Episodes, utterance: int, copies: int, rng: Generator) -> Episode:
        """Of the voice that said an utterance, in a copy drawn for all of it."""
        speaker, draw = self._speaker[utterance], self._draw
        classes = list(self._by_label[speaker].values())
        order = rng.permutation(len(classes))
        queries = []
        for k in range(episodes.queries):
            pool = classes[order[k % len(classes)]]
            queries.append(pool[int(rng.integers(len(pool)))])
        share = rng.uniform(*draw.neutral) if rng.random() >= _ANY_CHANCE else 0.0
        known = self._some(speaker, episodes.known, share, rng)
        is_known = rng.random() >= draw.none_chance
        return Episode(
            utterances=queries + known,
            queries=len(queries),
            copy=int(rng.integers(copies)),
            enrolled=self._some(speaker, self._number(rng), share, rng) if is_known else [],
            level_db=self._level_db(rng),
        )

    def baseline_in(self, episode: Episode, utterance: int) -> Baseline | None:
        """What an utterance of an episode is judged against."""
        return self._of(episode.enrolled, utterance, episode.copy, episode.level_db)

    def _number(self, rng: Generator) -> int:
        fewest, most = self._draw.utterances
        return int(np.exp(rng.uniform(np.log(fewest), np.log(most + 1))))

    def _some(self, speaker: str, number: int, share: float, rng: Generator) -> list[int]:
        """Of a speaker so many, a share of them neutral as far as there are such."""
        everything, neutral = self._all[speaker], self._neutral[speaker]
        chosen = []
        for _ in range(number):
            pool = neutral if neutral and rng.random() < share else everything
            chosen.append(pool[int(rng.integers(len(pool)))])
        return chosen

    def _level_db(self, rng: Generator) -> float:
        level_db = self._draw.level_db
        return float(rng.normal(0, level_db)) if level_db else 0.0

    def _of(self, chosen: list[int], utterance: int, copy: int, level_db: float) -> Baseline | None:
        """Of the utterances chosen, but for the one that is judged."""
        chosen = [i for i in chosen if i != utterance]
        if not chosen or not self._front_end.learns_voices:
            return None
        count = int(self._counts[chosen, copy].sum())
        mean = self._sums[chosen, copy].sum(axis=0) / np.float32(count) + level_db
        return Baseline(mean, min(count, self._front_end.baseline_frames))


def centring_weights_of(
    episodes: Sequence[Episode],
    frames: npt.NDArray[np.int64],
    own_frames: int,
    rng: Generator,
) -> Floats:
    """``Batch.centring_weights`` (batch, batch) of episodes whose crops have ``frames`` (batch,).

    A query is relative to some of what is known of its voice, drawn by chance, and never to itself.
    """
    weights = np.zeros((len(frames), len(frames)), np.float32)
    first = 0
    for episode in episodes:
        size = len(episode.utterances)
        known = np.arange(episode.queries, size)
        for query in range(episode.queries if episode.enrolled else 0):
            number = int(np.exp(rng.uniform(0, np.log(len(known) + 1))))
            some = [
                first + k
                for k in rng.permutation(known)
                if episode.utterances[k] != episode.utterances[query]
            ][:number]
            counts = frames[some].astype(np.float32)
            weights[first + query, some] = counts / (counts.sum() + np.float32(own_frames))
        first += size
    return weights
