"""Training of one model on one part of a corpus, with Lightning."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, WeightAveraging
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader

from edgeser.errors import UserError, shortage
from edgeser.features.front_end import Floats
from edgeser.features.pieces import pieces_of
from edgeser_train.corpora import Corpus
from edgeser_train.data.protocols import Fold
from edgeser_train.models.initialise import initialise
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.training.batches import CropDataset, TrainingData, UtteranceDataset
from edgeser_train.training.classifier import VALIDATION_UA, Classifier, diverged
from edgeser_train.training.known_warnings import ignore_known_warnings
from edgeser_train.training.loss import class_weights
from edgeser_train.training.precision import precision_of
from edgeser_train.training.progress import ProgressWriter
from edgeser_train.training.recipe import Recipe
from edgeser_train.training.states import (
    BEST,
    AtomicCheckpointIO,
    LatestState,
    MovableState,
    NoEpochLeft,
    remove_if_empty,
    resumable,
)

_KEPT_STATES = 20
"""How many times a long training saves its state for a resumption, however fast it is."""


@dataclass(frozen=True)
class Trained:
    """A trained model and its curves.

    ``losses``: mean training loss of each epoch; ``validation``: UA on the validation part after
    each, empty without one; ``chosen_epoch``: whose weights the model has, counted from 1.
    """

    model: SpeechModel
    losses: list[float]
    validation: list[float]
    chosen_epoch: int


def train(
    data: TrainingData,
    fold: Fold,
    work: Path,
    *,
    seed: int,
    data_seed: int,
    logs: Path | None = None,
    start: SpeechModel | None = None,
) -> Trained:
    """Train a model on the training part of a fold; with ``patience`` its validation part ends it.

    ``work`` is a folder of this training's own: if it is killed, the same call resumes after the
    last epoch whose state it kept there and gets the same result, even if that was the last epoch.
    ``logs``: a folder for curves as CSV and for TensorBoard. ``seed`` is that of weights and
    dropout, ``data_seed`` that of the order of examples and of augmentation. ``torchrun`` says how
    many processes train together; without it, one does.
    ``start``: a model whose weights, or those of its trunk, are the initial ones.

    Raises UserError for a loss or weights that are not finite, a recipe that needs a validation
    part where there is none, a full disk, and when memory runs out.
    """
    recipe, corpus = data.recipe, data.corpus
    check_fit(recipe, corpus, fold)
    labels = len(corpus.labels)
    L.seed_everything(seed, verbose=False)
    model = recipe.network()
    recipe.loss.check(model)
    if start is None:
        model.prepare([corpus.utterances[i] for i in fold.train])
    else:
        initialise(model, start)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if recipe.standardise:
        _set_statistics(model, data, fold.train)
    crops = CropDataset(data, fold.train, data_seed, lambda: len(classifier.losses))
    targets = corpus.targets[list(fold.train)]
    weights = class_weights(targets, labels, recipe.loss.weighting)
    classifier = Classifier(model, recipe, weights, len(crops), seed, ProgressWriter(work))
    watched = UtteranceDataset(data, fold.validation if recipe.patience else ())
    batches = DataLoader(crops, batch_size=None)
    utterances = DataLoader(watched, batch_size=None)
    with warnings.catch_warnings():
        ignore_known_warnings()
        trainer = _trainer(recipe, work, logs)
        try:
            latest = resumable(work, best=bool(recipe.patience))
            trainer.fit(classifier, batches, utterances, ckpt_path=latest, weights_only=False)
        except SystemExit as stop:  # Lightning turns Ctrl-C into this.
            raise KeyboardInterrupt from stop
        except (OSError, MemoryError, RuntimeError) as error:
            lacking = shortage(error)
            if lacking is None:
                raise
            raise UserError(
                f"training: {lacking}",
                f"free some space, or lower batch ({recipe.batch}); "
                f"what was trained is kept in {work}",
            ) from error
        finally:
            remove_if_empty(work)
    chosen = _chosen(classifier, work if recipe.patience else None)
    trainer.strategy.barrier()  # otherwise rank 0 may remove states that others have yet to read
    return chosen


def check_fit(recipe: Recipe, corpus: Corpus, fold: Fold) -> None:
    """Raises UserError for a recipe that does not fit the corpus or the fold."""
    labels = len(corpus.labels)
    if recipe.model.labels != labels:
        raise UserError(f"recipe: model.labels is {recipe.model.labels}, the corpus has {labels}")
    if recipe.patience and not fold.validation:
        raise UserError(
            f"recipe: patience={recipe.patience} needs a validation part, which fold {fold.name} "
            "lacks",
            "take a protocol like loso_val, or --set patience=0",
        )


def _trainer(recipe: Recipe, work: Path, logs: Path | None) -> L.Trainer:
    every = max(1, recipe.epochs // _KEPT_STATES)
    callbacks: list[Callback] = [NoEpochLeft()]
    if recipe.ema_decay:
        callbacks.append(WeightAveraging(avg_fn=_moving_average(recipe.ema_decay)))
    if recipe.patience:
        callbacks.append(EarlyStopping(VALIDATION_UA, patience=recipe.patience, mode="max"))
        callbacks.append(
            MovableState(
                work, BEST, monitor=VALIDATION_UA, mode="max", enable_version_counter=False
            )
        )
    # After the best state, so that every saved epoch has been compared with the best one.
    callbacks.append(LatestState(work, every))
    loggers: list[Logger] = []
    if logs is not None:
        table = CSVLogger(logs, "")  # in a folder "version_N" of its own after a resumption
        loggers = [table, TensorBoardLogger(logs, "", table.version)]
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return L.Trainer(
        accelerator="auto",
        devices=local,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision="bf16-mixed" if precision_of(recipe.precision) == "bf16" else "32-true",
        max_epochs=recipe.epochs,
        accumulate_grad_batches=recipe.accumulate,
        gradient_clip_val=recipe.clip_norm or None,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        logger=loggers,
        limit_val_batches=None if recipe.patience else 0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )


def _moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Exponential moving average of weights; integers, which have no mean, are kept as they are."""

    def average(before: Tensor, now: Tensor, _: Tensor) -> Tensor:
        return decay * before + (1 - decay) * now if now.is_floating_point() else now

    return average


def _chosen(classifier: Classifier, work: Path | None) -> Trained:
    epoch = len(classifier.losses)
    if work is not None:
        best = torch.load(work / f"{BEST}.ckpt", map_location="cpu", weights_only=False)
        classifier.load_state_dict(best["state_dict"])
        epoch = len(best["curves"][1])
    model = classifier.model.cpu().eval()
    if not all(torch.isfinite(tensor).all() for tensor in model.state_dict().values()):
        raise diverged("the last step left weights that are no numbers", classifier.recipe)
    return Trained(model, classifier.losses, classifier.validation, epoch)


def _set_statistics(model: SpeechModel, data: TrainingData, part: tuple[int, ...]) -> None:
    """Mean and standard deviation of each feature over the training part as recorded, in the
    recipe's own STFT version; if windows are filled with silence, over the filled windows.
    """
    recipe = data.recipe

    def features(utterance: int) -> list[Floats]:
        frames = data.frames.of(utterance, 0)
        if recipe.window.fill:
            return pieces_of(frames, recipe.front_end, recipe.window)
        return [recipe.front_end.normalised(frames)]

    count, total, squares = 0, np.zeros(len(model.mean)), np.zeros(len(model.mean))
    for utterance in part:
        for piece in features(utterance):
            count += len(piece)
            total += piece.sum(axis=0, dtype=np.float64)
            squares += np.square(piece, dtype=np.float64).sum(axis=0)
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0.0)
    model.mean.copy_(torch.from_numpy(mean))
    model.std.copy_(torch.from_numpy(np.maximum(np.sqrt(variance), 1e-3)))
