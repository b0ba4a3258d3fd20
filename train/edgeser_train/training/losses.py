"""What training minimises, by name: one tagged struct per loss, and ``loss_of`` that applies it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgeser.errors import UserError
from edgeser_train.data.batch import Batch
from edgeser_train.models.ctc import class_log_probs
from edgeser_train.models.speech_model import SpeechModel

Weighting: TypeAlias = Literal["none", "inverse", "zhong"] | tuple[float, ...]
"""Class weights: one each; inverse frequency with mean one over the examples, N / (K n_c);
paper 004's max(n) / (n_c + 0.5); or given, one per label."""


class CrossEntropy(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="cross-entropy"
):
    """Class-weighted cross-entropy, optionally with smoothed labels."""

    weighting: Weighting = "inverse"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"loss: label_smoothing {self.label_smoothing} is outside [0, 1)")


class Focal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="focal"):
    """w_y (1 - p_y)^gamma (-log p_y) (paper 000, section II)."""

    weighting: Weighting = "inverse"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if self.gamma < 0:
            raise ValueError(f"loss: gamma {self.gamma} is below 0")


class DifficultyFocal(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="name",
    tag="difficulty-focal",
):
    """Focal loss whose exponent depends on how much annotators agreed (paper 004, section 2.4).

    ``exponents``: of an easy, a middling and a hard example (``Batch.level`` 0, 1, 2).
    """

    weighting: Weighting = "zhong"
    exponents: tuple[float, float, float] = (0.0, 1.0, 2.0)

    def __post_init__(self) -> None:
        if min(self.exponents) < 0:
            raise ValueError(f"loss: exponents {self.exponents} below 0")


class CTC(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="ctc"):
    """-log P([k, ..., k] | X), the label ``repeat`` times, blank the last unit (paper 002).

    A mixed target counts as its largest label: half a label has no alignment.
    """

    weighting: Weighting = "inverse"
    repeat: int = 1

    def __post_init__(self) -> None:
        if self.repeat < 1:
            raise ValueError(f"loss: repeat {self.repeat} is below 1")


class MultiTask(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="multi-task"
):
    """alpha cross-entropy + beta |valence error| + gamma |arousal error| (paper 003).

    Examples of unknown valence or arousal do not count in that term.
    """

    weighting: Weighting = "inverse"
    alpha: float = 0.5
    beta: float = 0.25
    gamma: float = 0.25

    def __post_init__(self) -> None:
        if min(self.alpha, self.beta, self.gamma) < 0 or self.alpha == 0:
            raise ValueError("loss: need alpha > 0, beta >= 0, gamma >= 0")


class Distillation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """(1 - weight) hard loss + weight T^2 KL(teacher / T || student / T), T the temperature."""

    weight: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1 or self.temperature <= 0:
            raise ValueError("distillation: need 0 <= weight <= 1 and temperature > 0")


LossSpec: TypeAlias = CrossEntropy | Focal | DifficultyFocal | CTC | MultiTask


@runtime_checkable
class Framewise(Protocol):
    """A model that labels steps of time."""

    def frame_log_probs(self, features: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """-> log-probabilities (batch, steps, labels + 1), blank last; steps that count (batch,)"""


@runtime_checkable
class Estimating(Protocol):
    """A model that estimates valence and arousal, too."""

    def estimates(self, features: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> logits (batch, labels), valence (batch,), arousal (batch,)"""


def loss_of(
    spec: LossSpec,
    model: SpeechModel,
    batch: Batch,
    weights: Tensor,
    distillation: Distillation | None = None,
) -> Tensor:
    """The loss of a batch, a float32 scalar; the model is called once.

    ``weights`` (labels,) are those of ``class_weights``; they are normalised within the batch.
    Raises UserError for a model that does not offer what the loss asks for, or a missing teacher.
    """
    hard, logits = _hard(spec, model, batch, weights)
    if distillation is None:
        return hard
    if batch.teacher is None:
        raise UserError("distillation: the batch holds no logits of a teacher")
    soft = divergence(logits, batch.teacher, distillation.temperature)
    return (1 - distillation.weight) * hard + distillation.weight * soft


def class_weights(
    targets: Sequence[int] | np.ndarray | Tensor, labels: int, weighting: Weighting
) -> Tensor:
    """Weights (labels,) float32 from the labels (n,) of the training part.

    A label that the part does not hold weighs 0 under "inverse". Raises UserError for given
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


def difficulty(agreement: float | None) -> int:
    """Level of an utterance from the vote proportion of its label: 1.0 -> 0, >= 0.65 -> 1, else 2.

    0 where nobody voted (paper 004, section 2.4).
    """
    if agreement is None or agreement >= 1:
        return 0
    return 1 if agreement >= 0.65 else 2


def weighted_focal(
    logits: Tensor, targets: Tensor, weights: Tensor, exponents: Tensor | float
) -> Tensor:
    """Mean of w . target . (1 - p)^exponent . -log p, divided by the batch's mean weight.

    ``logits`` and ``targets`` (batch, labels), ``weights`` (labels,), ``exponents`` (batch, 1) or
    one number; exponent 0 is weighted cross-entropy.
    """
    log_p = F.log_softmax(logits, dim=1)
    # Below an exponent of 1 the slope of a power has no bound at 0.
    missing = (-torch.expm1(log_p)).clamp(min=1e-6)
    losses = -(targets * missing**exponents * log_p).sum(dim=1)
    return _weighted_mean(losses, targets, weights)


def weighted_cross_entropy(
    logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Mean of w . target . -log p, divided by the batch's mean weight.

    ``logits`` and ``targets`` (batch, labels), ``weights`` (labels,).
    """
    smoothed = targets * (1 - smoothing) + smoothing / targets.shape[1]
    losses = -(smoothed * F.log_softmax(logits, dim=1)).sum(dim=1)
    return _weighted_mean(losses, targets, weights)


def weighted_ctc(
    log_probs: Tensor, steps: Tensor, targets: Tensor, weights: Tensor, repeat: int = 1
) -> Tensor:
    """Mean of w . -log P([k] * repeat | X), divided by the batch's mean weight.

    ``log_probs`` (batch, steps, labels + 1), ``steps`` (batch,), ``targets`` (batch, labels).
    A piece too short for its label (steps < 2 repeat - 1) counts as 0.
    """
    labels = targets.argmax(dim=1)
    losses = F.ctc_loss(
        log_probs.float().transpose(0, 1),
        labels[:, None].repeat(1, repeat),
        steps,
        torch.full_like(steps, repeat),
        blank=log_probs.shape[2] - 1,
        reduction="none",
        zero_infinity=True,
    )
    return _weighted_mean(losses, F.one_hot(labels, targets.shape[1]).float(), weights)


def mean_absolute_error(estimate: Tensor, truth: Tensor) -> Tensor:
    """Mean |estimate - truth| over the examples whose truth is known; 0 when none is."""
    known = ~torch.isnan(truth)
    errors = (estimate - torch.where(known, truth, estimate.detach())).abs()
    return errors.sum() / known.sum().clamp(min=1)


def divergence(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher / T || student / T), mean over the batch; logits (batch, labels)."""
    student_log_p = F.log_softmax(logits / temperature, dim=1)
    teacher_log_p = F.log_softmax(teacher / temperature, dim=1)
    kl = F.kl_div(student_log_p, teacher_log_p, reduction="batchmean", log_target=True)
    return temperature**2 * kl


def _hard(
    spec: LossSpec, model: SpeechModel, batch: Batch, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """The loss against the labels, and the logits (batch, labels) it came from."""
    features, frames, targets = batch.features, batch.frames, batch.targets
    weights = weights.to(targets.device)
    if isinstance(spec, CTC):
        if not isinstance(model, Framewise):
            raise _unfit("ctc", model, "output 'ctc' of pcnse-sadrn-ctc")
        log_probs, steps = model.frame_log_probs(features, frames)
        loss = weighted_ctc(log_probs, steps, targets, weights, spec.repeat)
        return loss, class_log_probs(log_probs, steps)
    if isinstance(spec, MultiTask):
        if not isinstance(model, Estimating):
            raise _unfit("multi-task", model, "multi_task of wavlm-sap")
        estimated, valence, arousal = model.estimates(features, frames)
        logits = estimated.float()
        loss = spec.alpha * weighted_cross_entropy(logits, targets, weights)
        loss = loss + spec.beta * mean_absolute_error(valence.float(), batch.valence)
        return loss + spec.gamma * mean_absolute_error(arousal.float(), batch.arousal), logits
    logits = model(features, frames).float()
    if isinstance(spec, CrossEntropy):
        loss = weighted_cross_entropy(logits, targets, weights, spec.label_smoothing)
    elif isinstance(spec, Focal):
        loss = weighted_focal(logits, targets, weights, spec.gamma)
    else:
        exponents = logits.new_tensor(spec.exponents)[batch.level]
        loss = weighted_focal(logits, targets, weights, exponents[:, None])
    return loss, logits


def _weighted_mean(losses: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """(batch,), (batch, labels), (labels,) -> the mean with each example's class weight."""
    weight = targets @ weights
    return (weight * losses).sum() / weight.sum()


def _unfit(loss: str, model: SpeechModel, what: str) -> UserError:
    return UserError(
        f"loss {loss}: {type(model).__name__} cannot be trained with it", f"see {what}"
    )
