"""One fold trained: what ``edgeser train`` and every fold of ``edgeser evaluate`` do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import NamedTuple

import msgspec

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus
from edgeser_train.data.frames import corpus_frames
from edgeser_train.data.lineage import corpus_digest
from edgeser_train.data.protocols import Fold
from edgeser_train.sound.sounds import load_sounds
from edgeser_train.training import checkpoint
from edgeser_train.training.batches import TrainingData
from edgeser_train.training.checkpoint import Origin
from edgeser_train.training.initial_weights import InitialWeights
from edgeser_train.training.precision import Precision, check_precision, precision_of
from edgeser_train.training.recipe import Recipe
from edgeser_train.training.states import remove_states
from edgeser_train.training.teacher import Teacher
from edgeser_train.training.training import Trained, check_fit, train


@dataclass(frozen=True)
class TrainingPlan:
    """All that determines a model's weights, besides the fold and the seed.

    ``data_seed``: of the splits, the order of examples and the augmentation. ``teacher``,
    ``start``: the models to distil from, and the initial weights.
    """

    corpus: Corpus
    recipe: Recipe
    protocol: str
    data_seed: int = 1
    teacher: Teacher | None = None
    start: InitialWeights | None = None

    @property
    def key(self) -> str:
        """Equal for plans whose folds can share a run folder."""
        return self._key(self.protocol, self.data_seed)

    def _key(self, *words: object) -> str:
        digest = hashlib.sha256(self.recipe.fingerprint.encode())
        for word in words:
            digest.update(f"{word}\n".encode())
        if list(self.corpus.labels) != sorted(self.corpus.labels):  # possible with --labels
            digest.update(f"labels {self.corpus.labels}\n".encode())
        for u in self.corpus.utterances:
            fields = (u.corpus, u.name, u.label, u.speaker, u.session, u.part, u.group)
            digest.update(f"{fields} {u.agreement} {u.valence} {u.arousal}\n".encode())
        if self.teacher:
            digest.update(self.teacher.fingerprint.encode())
        if self.start:
            digest.update(f"start {self.start.fingerprint}".encode())
        return digest.hexdigest()[:16]

    def check(self, fold: Fold) -> None:
        """Raises UserError for a fold that the recipe does not fit, and where a teacher or start
        is missing, has other labels, or has heard what the fold holds out.
        """
        check_fit(self.recipe, self.corpus, fold)
        self.ancestors(fold)

    def ancestors(self, fold: Fold) -> list[Origin]:
        """Origins of the fold's teachers and of its initial weights. Raises UserError."""
        files = self.teacher.files(self.corpus, fold) if self.teacher else []
        if self.start:
            files.append(self.start.file(self.corpus, fold))
        return [checkpoint.load_origin(file) for file in files]


class TrainedFold(NamedTuple):
    """A fold's model with its curves, its origin, and the folder of its training states."""

    trained: Trained
    origin: Origin
    work: Path

    def keep(self, path: Path) -> None:
        """Write the checkpoint, and remove the states of the training. Raises UserError."""
        checkpoint.save(path, self.trained.model, self.origin)
        remove_states(self.work)


def training_of(plan: TrainingPlan, fold: Fold, seed: int) -> str:
    """An identifier, equal for trainings that end with the same weights. Raises UserError for a
    file of the corpus that cannot be read.
    """
    return f"{fold.name}-seed{seed}-{plan.key}.{corpus_digest(plan.corpus)}"


def train_fold(
    plan: TrainingPlan,
    fold: Fold,
    seed: int,
    run: Path,
    cache: Path,
    *,
    stem: str = "",
    logs: Path | None = None,
    code: str = "",
) -> TrainedFold:
    """Train the model of one fold and one seed; nothing is scored.

    Its states are kept in a folder below ``run``: if it is killed, the same call resumes.
    ``cache``: where the corpus's sound and frames are kept. ``stem``: the beginning of that
    folder's name, by default the fold's. ``logs``: a folder for curves, as CSV and for TensorBoard.
    ``code``: the commit that trains, by default that of the working tree. Raises UserError as
    ``train`` does, for a teacher or start that has heard what the fold holds out, and for a
    training that began with other sounds or in another precision.
    """
    corpus, recipe = plan.corpus, plan.recipe
    check_fit(recipe, corpus, fold)
    started = checkpoint.load(plan.start.file(corpus, fold))[0] if plan.start else None
    training = training_of(plan, fold, seed)
    precision = precision_of(recipe.precision)
    origin = checkpoint.origin_of(
        corpus, recipe, plan.protocol, fold, seed, plan.ancestors(fold), code, training, precision
    )
    answers = (
        plan.teacher.logits(corpus, fold, load_sounds(corpus, cache)) if plan.teacher else None
    )
    frames = corpus_frames(corpus, recipe, cache)
    data = TrainingData(
        corpus, frames, msgspec.structs.replace(recipe, precision=precision), answers
    )
    work = _work_of(run, f"{stem or fold.name}-seed{seed}-{plan.key}", corpus, precision)
    trained = train(data, fold, work, seed=seed, data_seed=plan.data_seed, logs=logs, start=started)
    return TrainedFold(trained, origin, work)


def _work_of(run: Path, name: str, corpus: Corpus, precision: Precision) -> Path:
    """The folder of a training's states. Raises UserError if an unfinished training of that name
    began with other sounds, or in another precision.
    """
    works, sounds = run / "unfinished", corpus_digest(corpus)
    for work in works.glob(f"{escape(name)}.*"):
        digest, _, before = work.name.removeprefix(f"{name}.").partition(".")
        if digest != sounds:
            raise UserError(
                f"{run}: the sound of {corpus.name} has changed since this training was stopped",
                f"restore it, or remove {work}",
            )
        check_precision(f"{work}: this training", before, precision)
        return work
    return works / f"{name}.{sounds}.{precision}"
