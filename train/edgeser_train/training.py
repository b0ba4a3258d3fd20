"""Training of one model on one part of a corpus, with Lightning."""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import Tensor
from torch.nn import functional as F

from edgeser.errors import UserError
from edgeser_train.batches import Batch, PieceModule, Pieces
from edgeser_train.corpora import Corpus
from edgeser_train.frames import CorpusFrames
from edgeser_train.models.lightweight import Lightweight
from edgeser_train.recipe import Recipe


@dataclass(frozen=True)
class Trained:
    """A trained model and the mean training loss of each epoch."""

    model: Lightweight
    losses: list[float]


class Classifier(L.LightningModule):
    """Class-weighted cross-entropy, AdamW, warm-up and cosine."""

    def __init__(self, model: Lightweight, weights: Tensor, recipe: Recipe, steps: int) -> None:
        super().__init__()
        self.model = model
        self.weights = weights
        self.recipe = recipe
        self.steps = steps
        self.epoch_losses: list[float] = []
        self._batch_losses: list[float] = []

    def training_step(self, batch: Batch, _: int) -> Tensor:
        features, frames, soft = batch
        logits = self.model(features, frames).float()
        loss = weighted_cross_entropy(
            logits, soft, self.weights.to(logits.device), self.recipe.label_smoothing
        )
        value = float(loss.detach())
        if not math.isfinite(value):
            raise UserError(
                f"training: the loss became {value} in epoch {self.current_epoch + 1}; "
                f"lower the learning rate ({self.recipe.learning_rate})"
            )
        self._batch_losses.append(value)
        return loss

    def on_train_epoch_end(self) -> None:
        self.epoch_losses.append(float(np.mean(self._batch_losses)))
        self._batch_losses.clear()

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        vectors = [p for p in self.model.parameters() if p.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": recipe.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
        )
        rising = max(1, round(recipe.warm_up * self.steps))

        def factor(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, self.steps - rising)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def weighted_cross_entropy(
    logits: Tensor, soft: Tensor, weights: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Mean over the batch of w . target . -log p, divided by the batch's mean weight.

    ``logits`` and ``soft`` (batch, labels), ``weights`` (labels,).
    """
    smoothed = soft * (1 - smoothing) + smoothing / soft.shape[1]
    weight = soft @ weights
    losses = -(smoothed * F.log_softmax(logits, dim=1)).sum(dim=1)
    return (weight * losses).sum() / weight.sum()


def class_weights(targets: np.ndarray, labels: int) -> Tensor:
    """Inverse frequencies with mean 1 over the examples: N / (K * n_c), shape (labels,)."""
    counts = np.bincount(targets, minlength=labels)
    return torch.tensor(len(targets) / (labels * counts), dtype=torch.float32)


def train(
    corpus: Corpus,
    frames: CorpusFrames,
    part: tuple[int, ...],
    recipe: Recipe,
    *,
    seed: int,
    progress: bool = False,
) -> Trained:
    """Train a model on the utterances ``part`` of the corpus.

    Raises UserError for a loss that is no number.
    """
    L.seed_everything(seed, verbose=False)
    targets = corpus.targets
    labels = len(corpus.labels)
    if recipe.model.labels != labels:
        raise UserError(f"recipe: model.labels is {recipe.model.labels}, the corpus has {labels}")
    model = Lightweight(recipe.model)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _set_statistics(model, frames, part, recipe)
    pieces = Pieces(frames, part, targets, labels, recipe, seed)
    weights = class_weights(np.array([targets[i] for i in part]), labels)
    classifier = Classifier(model, weights, recipe, recipe.epochs * len(pieces))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        trainer = L.Trainer(
            accelerator="auto",
            devices=1,
            precision="bf16-mixed",
            max_epochs=recipe.epochs,
            gradient_clip_val=recipe.clip_norm,
            callbacks=[EMAWeightAveraging(decay=recipe.ema_decay)],
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=progress,
        )
        trainer.fit(classifier, PieceModule(pieces))
    return Trained(model.cpu().eval(), classifier.epoch_losses)


def _set_statistics(
    model: Lightweight, frames: CorpusFrames, part: tuple[int, ...], recipe: Recipe
) -> None:
    """Mean and deviation per mel band of the training part as recorded, after normalisation."""
    features = np.concatenate([recipe.front_end.normalised(frames.of(i, 0)) for i in part])
    model.mean.copy_(torch.from_numpy(features.mean(axis=0)))
    model.std.copy_(torch.from_numpy(np.maximum(features.std(axis=0), 1e-3)))
