"""The interface of every loss, and what all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgeser.errors import UserError
from edgeser_train.data.batch import Batch
from edgeser_train.models.speech_model import SpeechModel

_NEVER = -1e4
"""A logit whose probability is 0 in float32, and whose logarithm is still a number."""

Weighting: TypeAlias = Literal["none", "inverse", "zhong"] | tuple[float, ...]
"""Class weights: "none", all one; "inverse", inverse frequency with mean one over the examples,
N / (K n_c); "zhong", max(n) / (n_c + 0.5) as in Zhong et al. 2020; or given, one per label."""


class Loss:
    """A loss as data, to be mixed into a frozen ``msgspec.Struct`` whose tag is its name."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def weighting(self) -> Weighting: ...

    def check(self, model: SpeechModel) -> None:
        """Raises UserError for a model without the output that the loss needs, or with a ``prior``
        where the loss cannot centre by voice.
        """

    def hard(self, model: SpeechModel, batch: Batch, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch against its labels, a float32 scalar, and the logits (batch, labels)
        that it came from, float32. It calls the model once.

        ``weights`` (labels,) of the classes. Raises UserError as ``check`` does.
        """
        raise NotImplementedError


class Distillation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """(1 - weight) hard loss + weight T^2 KL(teacher / T || student / T), T the temperature."""

    weight: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1 or self.temperature <= 0:
            raise ValueError("distillation: need 0 <= weight <= 1 and temperature > 0")


@runtime_checkable
class Framewise(Protocol):
    """A model that labels every time step."""

    def frame_log_probs(self, features: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """-> log-probabilities (batch, steps, labels + 1), blank last; number of steps (batch,)"""


@runtime_checkable
class Estimating(Protocol):
    """A model that estimates valence and arousal, too."""

    def estimates(self, features: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> logits (batch, labels), valence (batch,), arousal (batch,)"""


def class_logits(model: SpeechModel, batch: Batch) -> Tensor:
    """Logits (batch, labels) float32, centred by voice if the batch has ``centring_weights``.
    Classes that an example's corpus lacks never win, and get no gradient from it.
    """
    logits: Tensor = model(batch.features, batch.frames).float()
    if batch.centring_weights is not None:
        logits = model.centred(logits, batch.centring_weights)
    return masked_classes(logits, batch.class_mask)


def masked_classes(logits: Tensor, class_mask: Tensor | None) -> Tensor:
    """Logits (..., labels) in which classes that are False in ``class_mask`` (broadcastable; None
    masks nothing) never win.
    """
    return logits if class_mask is None else logits.masked_fill(~class_mask, _NEVER)


def loss_of(
    loss: Loss,
    model: SpeechModel,
    batch: Batch,
    weights: Tensor,
    distillation: Distillation | None = None,
) -> Tensor:
    """The loss of a batch, a float32 scalar; the model is called once.

    ``weights`` (labels,) are those of ``class_weights``; they are normalised within the batch.
    Raises UserError as ``Loss.hard`` does, and for a missing teacher.
    """
    hard, logits = loss.hard(model, batch, weights.to(batch.targets.device))
    if distillation is None:
        return hard
    if batch.teacher is None:
        raise UserError("distillation: the batch holds no logits of a teacher")
    counts = batch.targets.sum(dim=1)  # 0 for an episode's known utterances
    teacher = masked_classes(batch.teacher, batch.class_mask)
    soft = divergence(logits, teacher, distillation.temperature, counts)
    return (1 - distillation.weight) * hard + distillation.weight * soft


def class_weights(
    targets: Sequence[int] | np.ndarray | Tensor, labels: int, weighting: Weighting
) -> Tensor:
    """Weights (labels,) float32 from the labels (n,) of the training part.

    A label without examples in the part weighs 0 under "inverse". Raises UserError for given
    weights that are not one positive number per label.
    """
    if not isinstance(weighting, str):
        if len(weighting) != labels or min(weighting) <= 0:
            raise UserError(
                f"loss: weighting {weighting} must be {labels} positive numbers, one per label"
            )
        return torch.tensor(weighting, dtype=torch.float32)
    if weighting == "none":
        return torch.ones(labels)
    counts = np.bincount(np.asarray(targets), minlength=labels)
    if weighting == "zhong":
        weights = counts.max() / (counts + 0.5)
    else:
        weights = np.where(counts > 0, counts.sum() / (labels * np.maximum(counts, 1)), 0.0)
    return torch.tensor(weights, dtype=torch.float32)


def weighted_mean(losses: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """(batch,), (batch, labels), (labels,) -> the mean with each example's class weight."""
    weight = targets @ weights
    return (weight * losses).sum() / weight.sum()


def divergence(
    logits: Tensor, teacher: Tensor, temperature: float, counts: Tensor | None = None
) -> Tensor:
    """T^2 KL(teacher / T || student / T) of logits (batch, labels): the mean over the batch,
    weighted by ``counts`` (batch,) if given.
    """
    student_log_p = F.log_softmax(logits / temperature, dim=1)
    teacher_log_p = F.log_softmax(teacher / temperature, dim=1)
    kl = F.kl_div(student_log_p, teacher_log_p, reduction="none", log_target=True).sum(dim=1)
    mean = kl.mean() if counts is None else (counts * kl).sum() / counts.sum()
    return temperature**2 * mean
