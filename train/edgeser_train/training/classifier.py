"""What Lightning trains: a model with its loss, and the curves of both."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from edgeser.errors import UserError
from edgeser_train import metrics
from edgeser_train.data.batch import Batch
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.training.loss import loss_of
from edgeser_train.training.optimiser import optimiser_of
from edgeser_train.training.progress import ProgressWriter
from edgeser_train.training.recipe import Recipe

VALIDATION_UA = "validation_ua"


class Classifier(L.LightningModule):
    """A model, its loss, and the curves of both."""

    def __init__(
        self,
        model: SpeechModel,
        recipe: Recipe,
        weights: Tensor,
        batches: int,
        seed: int,
        progress: ProgressWriter,
    ) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe
        self.weights = weights
        self.steps = recipe.epochs * math.ceil(batches / recipe.accumulate)
        self.seed = seed
        self.batches = batches
        self.progress = progress
        self.losses: list[float] = []
        self.validation: list[float] = []
        self._batch_losses: list[float] = []
        self._predictions: list[tuple[int, int]] = []

    def training_step(self, batch: Batch, index: int) -> Tensor:
        if index == 0:
            # Dropout is seeded for each epoch, so that a resumption repeats it. (Lightning calls no
            # on_train_epoch_start for the first epoch after a resumption.)
            torch.manual_seed(self.seed * 1_000_003 + len(self.losses))
        weights = self.weights.to(self.device)
        loss = loss_of(self.recipe.loss, self.model, batch, weights, self.recipe.distillation)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise diverged(f"the loss became {value} in epoch {len(self.losses) + 1}", self.recipe)
        self._batch_losses.append(value)
        if self.trainer.is_global_zero:
            self.progress.write(
                len(self.losses) + (index + 1) / self.batches,
                self.recipe.epochs,
                self.losses[-1] if self.losses else float(np.mean(self._batch_losses)),
                self.validation[-1] if self.validation else None,
            )
        return loss

    def on_train_epoch_end(self) -> None:
        mean = torch.tensor(np.mean(self._batch_losses), device=self.device)
        self.losses.append(float(self.trainer.strategy.reduce(mean, reduce_op="mean")))
        self._batch_losses.clear()
        self.log("training_loss", self.losses[-1])

    def validation_step(self, batch: tuple[Tensor, Tensor, int], _: int) -> None:
        features, frames, target = batch
        predicted = self.model(features, frames).float().mean(dim=0).argmax()
        self._predictions.append((int(target), int(predicted)))

    def on_validation_epoch_end(self) -> None:
        pairs = np.array(self._predictions)
        self._predictions.clear()
        labels = self.recipe.model.labels
        ua = metrics.ua(metrics.confusion(pairs[:, 0], pairs[:, 1], labels))
        self.validation.append(ua)
        self.log(VALIDATION_UA, ua)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["curves"] = (self.losses, self.validation)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        losses, validation = checkpoint["curves"]
        self.losses, self.validation = list(losses), list(validation)

    def configure_optimizers(self) -> Any:
        return optimiser_of(self.model, self.recipe.optimiser, self.steps, self.recipe.epochs)


def diverged(what: str, recipe: Recipe) -> UserError:
    """The error that training led to numbers that are not finite."""
    return UserError(
        f"training: {what}", f"lower optimiser.learning_rate ({recipe.optimiser.learning_rate})"
    )
