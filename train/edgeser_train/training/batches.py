"""Training batches: random crops of random copies, all of one length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed
from torch.utils.data import Dataset, IterableDataset

from edgeser.errors import UserError
from edgeser.features import Baseline
from edgeser.features.front_end import Floats
from edgeser.features.pieces import batch_of, pieces_of
from edgeser.model.decision import softmax
from edgeser_train.corpora import Corpus
from edgeser_train.data.batch import Batch
from edgeser_train.data.frames import CorpusFrames
from edgeser_train.sound.augment import mask, warp
from edgeser_train.training.losses import difficulty
from edgeser_train.training.recipe import Recipe
from edgeser_train.training.sampling import balanced_sample
from edgeser_train.training.voices import Episodes, Voices, centring_weights_of

Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrainingData:
    """All that training may look at: a corpus, its frames, and a teacher's logits.

    ``teacher``: logits (utterances, labels), or None.
    """

    corpus: Corpus
    frames: CorpusFrames
    recipe: Recipe
    teacher: Floats | None = None

    def crop(
        self,
        utterance: int,
        copy: int,
        length: int,
        rng: np.random.Generator,
        baseline: Baseline | None = None,
    ) -> Floats:
        """Features (length, width) of a random crop; with ``length`` 0, of a random one of the
        pieces that the window policy cuts.

        ``baseline``: of the voice in that copy, against which the crop is normalised.
        """
        recipe = self.recipe
        frames = self.frames.of(utterance, copy)
        if not length:
            pieces = pieces_of(frames, recipe.front_end, recipe.window, baseline)
            return pieces[int(rng.integers(len(pieces)))]
        if recipe.spectrogram is None:
            first = int(rng.integers(max(1, len(frames) - length + 1)))
            return recipe.front_end.normalised(frames[first : first + length], baseline)
        front_end, varied = recipe.front_end, warp(frames, length, recipe.spectrogram, rng)
        if baseline is not None:
            baseline = Baseline(varied.spectrum(baseline.mean), baseline.frames)
        if recipe.spectrogram.range_db is not None:
            range_db = rng.uniform(*recipe.spectrogram.range_db)
            front_end = msgspec.structs.replace(front_end, range_db=range_db)
        features = front_end.normalised(varied.piece, baseline)
        mask(features, recipe.spectrogram, rng)
        return features


class CropDataset(IterableDataset[Batch]):
    """Batches of one epoch at each iteration, shuffled and augmented anew from (seed, epoch).

    In a training of several processes each takes its share of every batch.
    """

    def __init__(
        self,
        data: TrainingData,
        part: tuple[int, ...],
        seed: int,
        epoch: Callable[[], int] = lambda: 0,
    ) -> None:
        """``epoch``: which one begins, counted from 0. (Lightning's own count is one behind after a
        resumption.)
        """
        self.data = data
        self.part = np.array(part)
        self.seed = seed
        self.epoch = epoch
        recipe = data.recipe
        self.class_mask = _class_mask(data.corpus)
        self.examples = recipe.examples or len(part)
        self.voices = (
            None
            if recipe.baselines is None
            else Voices(data.corpus, data.frames, recipe.front_end, part, recipe.baselines)
        )

    def __len__(self) -> int:
        """Batches in an epoch: as many as bring their size nearest to the recipe's.

        Their sizes differ by at most one; a batch with fewer examples than there are processes is
        skipped. With episodes, only queries count as examples.
        """
        recipe = self.data.recipe
        counted = recipe.episodes.queries * self._episodes if recipe.episodes else recipe.batch
        return max(1, round(self.examples / counted))

    @property
    def _episodes(self) -> int:
        """Episodes in a batch."""
        recipe = self.data.recipe
        if recipe.episodes is None:
            return 0
        return max(1, round(recipe.batch / (recipe.episodes.queries + recipe.episodes.known)))

    def __iter__(self) -> Iterator[Batch]:
        rank, world = _rank_and_world()
        epoch = self.epoch()
        rng = np.random.default_rng((self.seed, epoch))
        recipe = self.data.recipe
        if recipe.balanced:
            drawn = len(self) * self._episodes if recipe.episodes else self.examples
            order = balanced_sample(self.data.corpus, self.part.tolist(), drawn, rng)
        else:
            order = rng.permutation(self.part)
        if rank:
            rng = np.random.default_rng((self.seed, epoch, rank))
        largest = math.ceil(len(order) / len(self))
        if largest < world:
            what = "episodes" if recipe.episodes else "utterances"
            raise UserError(
                f"training: a batch has {largest} {what}, and {world} processes share it",
                "take fewer processes, or a larger batch",
            )
        for chosen in np.array_split(order, len(self)):
            if len(chosen) >= world:
                yield self._batch(chosen[rank::world], rng)

    def _batch(self, chosen: Indices, rng: np.random.Generator) -> Batch:
        recipe, voices = self.data.recipe, self.voices
        length = int(rng.choice(recipe.crop_frames)) if recipe.crop_frames else 0
        if recipe.episodes is not None and voices is not None:
            return self._of_episodes(chosen, length, recipe.episodes, voices, rng)
        crops = []
        for i in chosen:
            copy = int(rng.integers(self.data.frames.copies))
            baseline = voices.baseline(i, copy, rng) if voices else None
            crops.append(self.data.crop(i, copy, length, rng, baseline))
        return self._of_crops(chosen, crops, length, rng)

    def _of_episodes(
        self,
        firsts: Indices,
        length: int,
        draw: Episodes,
        voices: Voices,
        rng: np.random.Generator,
    ) -> Batch:
        """One episode for each utterance of ``firsts``, of that utterance's speaker."""
        copies = self.data.frames.copies
        episodes = [voices.episode(draw, int(i), copies, rng) for i in firsts]
        crops = [
            self.data.crop(i, e.copy, length, rng, voices.baseline_in(e, i))
            for e in episodes
            for i in e.utterances
        ]
        chosen = np.array([i for e in episodes for i in e.utterances])
        batch = self._of_crops(chosen, crops, length, rng)
        weights = centring_weights_of(episodes, batch.frames.numpy(), draw.own_frames, rng)
        counts = [k < e.queries for e in episodes for k in range(len(e.utterances))]
        targets = batch.targets * torch.tensor(counts, dtype=torch.float32)[:, None]
        return batch._replace(targets=targets, centring_weights=torch.from_numpy(weights))

    def _of_crops(
        self, chosen: Indices, crops: list[Floats], length: int, rng: np.random.Generator
    ) -> Batch:
        data = self.data
        recipe, corpus = data.recipe, data.corpus
        features, frames = batch_of(crops, recipe.window.pad_frames if not length else 1)
        targets = corpus.targets[chosen]
        soft = np.eye(len(corpus.labels), dtype=np.float32)[targets]
        class_mask = None if self.class_mask is None else self.class_mask[chosen]
        teacher = None if data.teacher is None else data.teacher[chosen]
        if recipe.spectrogram is not None and recipe.spectrogram.mixup > 0:
            mix = _Mixup(len(features), recipe.spectrogram.mixup, rng)
            features, soft = mix(features), mix(soft)
            frames = mix.lengths(frames)
            class_mask = None if class_mask is None else mix.either(class_mask)
            if teacher is not None:
                probabilities = softmax(teacher).astype(np.float32)
                teacher = np.log(np.maximum(mix(probabilities), np.float32(1e-9)))
        utterances = [corpus.utterances[i] for i in chosen]
        return Batch(
            features=torch.from_numpy(features),
            frames=torch.from_numpy(frames),
            targets=torch.from_numpy(soft),
            level=torch.tensor([difficulty(u.agreement) for u in utterances]),
            valence=_known(u.valence for u in utterances),
            arousal=_known(u.arousal for u in utterances),
            teacher=None if teacher is None else torch.from_numpy(teacher),
            class_mask=None if class_mask is None else torch.from_numpy(class_mask),
        )


class UtteranceDataset(Dataset[tuple[Tensor, Tensor, int]]):
    """Utterances as recorded, one by one: all their pieces, padded, and the target."""

    def __init__(self, data: TrainingData, part: tuple[int, ...]) -> None:
        self.data = data
        self.part = part

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor, int]:
        data = self.data
        utterance = self.part[position]
        rows = data.frames.of(utterance, 0)
        pieces = pieces_of(rows, data.recipe.front_end, data.recipe.window)
        features, frames = batch_of(pieces, data.recipe.window.pad_frames)
        target = int(data.corpus.targets[utterance])
        return torch.from_numpy(features), torch.from_numpy(frames), target


class _Mixup:
    """Mixes each of ``n`` rows with another one: same partner, same share at every call."""

    def __init__(self, n: int, beta: float, rng: np.random.Generator) -> None:
        share = rng.beta(beta, beta, n)
        self.share = np.maximum(share, 1 - share).astype(np.float32)
        self.other = rng.permutation(n)

    def __call__(self, rows: Floats) -> Floats:
        kept = self.share.reshape(-1, *[1] * (rows.ndim - 1))
        return np.asarray(kept * rows + (1 - kept) * rows[self.other], np.float32)

    def lengths(self, frames: Indices) -> Indices:
        """The longer of the two lengths of each mixture."""
        return np.maximum(frames, frames[self.other])

    def either(self, class_mask: Flags) -> Flags:
        """True where it is true for either of the two."""
        return class_mask | class_mask[self.other]


def _class_mask(corpus: Corpus) -> Flags | None:
    """(utterances, labels), True for the classes that an utterance's corpus has; None if all
    corpora have all classes. So a class is learnt only from the corpora that have it.
    """
    there: dict[str, set[str]] = {}
    for u in corpus.utterances:
        there.setdefault(u.corpus, set()).add(u.label)
    if all(len(labels) == len(corpus.labels) for labels in there.values()):
        return None
    rows = {name: [label in labels for label in corpus.labels] for name, labels in there.items()}
    return np.array([rows[u.corpus] for u in corpus.utterances])


def _known(values: Iterator[float | None]) -> Tensor:
    return torch.tensor([np.nan if v is None else v for v in values], dtype=torch.float32)


def _rank_and_world() -> tuple[int, int]:
    """This process's rank, and the number of processes that train together."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
