"""Baselines in training, drawn as a device will have them: earlier speech of the same voice."""

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
"""Probability that an episode's known utterances are of any emotion, not mostly neutral."""


class BaselineDraw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a window's baseline is drawn in training, where the front end normalises by voice.

    With probability ``none_chance`` there is none. Otherwise it is of other utterances of the same
    speaker; their number is in the range ``utterances`` (uniform on a logarithmic scale), and a
    share in the range ``neutral`` of them has the label ``label``, if the speaker has any, the rest
    any label. ``level_db``: standard deviation of the baseline's level, so that a step towards the
    microphone is not taken for an emotion.
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
    """Batches of episodes, with which a model learns logits that are centred by voice.

    An episode is one voice in one room: ``queries`` of its utterances, evenly from its classes,
    which count in the loss, and ``known`` others, drawn like those of its baseline, which do not.
    The logits of a query are centred by the mean of those of some of the known ones, as in
    ``model.centring.Centring``. If the episode has no baseline, they are not centred.
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
    """Utterances of one voice, the queries first; ``enrolled``: the utterances of its baseline."""

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
        """A baseline of the utterance's voice, in the same copy; None if nothing is known of it."""
        if rng.random() < self._draw.none_chance:
            return None
        speaker = self._speaker[utterance]
        chosen = self._some(speaker, self._number(rng), rng.uniform(*self._draw.neutral), rng)
        return self._of(chosen, utterance, copy, self._level_db(rng))

    def episode(self, episodes: Episodes, utterance: int, copies: int, rng: Generator) -> Episode:
        """An episode of the utterance's voice, all of it in one randomly drawn copy."""
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
        """The baseline of an utterance of an episode."""
        return self._of(episode.enrolled, utterance, episode.copy, episode.level_db)

    def _number(self, rng: Generator) -> int:
        fewest, most = self._draw.utterances
        return int(np.exp(rng.uniform(np.log(fewest), np.log(most + 1))))

    def _some(self, speaker: str, number: int, share: float, rng: Generator) -> list[int]:
        """So many utterances of a speaker, a share of them neutral if the speaker has any."""
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
        """The baseline of the chosen utterances without ``utterance`` itself."""
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

    A query is centred by some of the known utterances of its voice, drawn at random, never itself.
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
