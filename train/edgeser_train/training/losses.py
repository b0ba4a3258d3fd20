"""What training minimises: one tagged struct per loss, and its name in the registry."""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor
from torch.nn import functional as F

from edgeser.errors import UserError
from edgeser_train.data.batch import Batch
from edgeser_train.models.ctc import class_log_probs
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.registry import Registry
from edgeser_train.training.loss import (
    Estimating,
    Framewise,
    Loss,
    Weighting,
    class_logits,
    masked_classes,
    weighted_mean,
)


class CrossEntropy(
    msgspec.Struct,
    Loss,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="name",
    tag="cross-entropy",
):
    """Class-weighted cross-entropy, optionally with smoothed labels."""

    weighting: Weighting = "inverse"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"loss: label_smoothing {self.label_smoothing} is outside [0, 1)")

    def hard(self, model: SpeechModel, batch: Batch, weights: Tensor) -> tuple[Tensor, Tensor]:
        logits = class_logits(model, batch)
        loss = weighted_cross_entropy(
            logits, batch.targets, weights, self.label_smoothing, batch.class_mask
        )
        return loss, logits


class Focal(
    msgspec.Struct,
    Loss,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="name",
    tag="focal",
):
    """w_y (1 - p_y)^gamma (-log p_y) (Lin et al. 2017; as in Kim and Kwon, section II)."""

    weighting: Weighting = "inverse"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if self.gamma < 0:
            raise ValueError(f"loss: gamma {self.gamma} is below 0")

    def hard(self, model: SpeechModel, batch: Batch, weights: Tensor) -> tuple[Tensor, Tensor]:
        logits = class_logits(model, batch)
        return weighted_focal(logits, batch.targets, weights, self.gamma), logits


class DifficultyFocal(
    msgspec.Struct,
    Loss,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="name",
    tag="difficulty-focal",
):
    """Focal loss whose exponent depends on how much annotators agreed.

    Zhong et al. 2020, section 2.4.
    ``exponents``: of an easy, a medium and a hard example (``Batch.level`` 0, 1, 2).
    """

    weighting: Weighting = "zhong"
    exponents: tuple[float, float, float] = (0.0, 1.0, 2.0)

    def __post_init__(self) -> None:
        if min(self.exponents) < 0:
            raise ValueError(f"loss: exponents {self.exponents} below 0")

    def hard(self, model: SpeechModel, batch: Batch, weights: Tensor) -> tuple[Tensor, Tensor]:
        logits = class_logits(model, batch)
        exponents = logits.new_tensor(self.exponents)[batch.level]
        return weighted_focal(logits, batch.targets, weights, exponents[:, None]), logits


class CTC(
    msgspec.Struct,
    Loss,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="name",
    tag="ctc",
):
    """-log P([k, ..., k] | X), the label ``repeat`` times, blank the last unit (Zhao et al. 2021).

    A mixed target counts as its largest label: half a label has no alignment.
    """

    weighting: Weighting = "inverse"
    repeat: int = 1

    def __post_init__(self) -> None:
        if self.repeat < 1:
            raise ValueError(f"loss: repeat {self.repeat} is below 1")

    def check(self, model: SpeechModel) -> None:
        _framewise(model)
        _uncentred("ctc", model)

    def hard(self, model: SpeechModel, batch: Batch, weights: Tensor) -> tuple[Tensor, Tensor]:
        log_probs, steps = _framewise(model).frame_log_probs(batch.features, batch.frames)
        if batch.class_mask is not None:
            with_blank = F.pad(batch.class_mask, (0, 1), value=True)[:, None]
            log_probs = F.log_softmax(masked_classes(log_probs.float(), with_blank), dim=2)
        loss = weighted_ctc(log_probs, steps, batch.targets, weights, self.repeat)
        return loss, class_log_probs(log_probs, steps)


class MultiTask(
    msgspec.Struct,
    Loss,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="name",
    tag="multi-task",
):
    """alpha cross-entropy + beta |valence error| + gamma |arousal error| (Hyeon et al.).

    Examples of unknown valence or arousal do not count in that term.
    """

    weighting: Weighting = "inverse"
    alpha: float = 0.5
    beta: float = 0.25
    gamma: float = 0.25

    def __post_init__(self) -> None:
        if min(self.alpha, self.beta, self.gamma) < 0 or self.alpha == 0:
            raise ValueError("loss: need alpha > 0, beta >= 0, gamma >= 0")

    def check(self, model: SpeechModel) -> None:
        _estimating(model)
        _uncentred("multi-task", model)

    def hard(self, model: SpeechModel, batch: Batch, weights: Tensor) -> tuple[Tensor, Tensor]:
        estimated, valence, arousal = _estimating(model).estimates(batch.features, batch.frames)
        logits = masked_classes(estimated.float(), batch.class_mask)
        loss = self.alpha * weighted_cross_entropy(logits, batch.targets, weights)
        loss = loss + self.beta * mean_absolute_error(valence.float(), batch.valence)
        loss = loss + self.gamma * mean_absolute_error(arousal.float(), batch.arousal)
        return loss, logits


LOSSES: Registry[type[Loss]] = Registry(
    "loss",
    "edgeser.losses",
    {
        "cross-entropy": CrossEntropy,
        "focal": Focal,
        "difficulty-focal": DifficultyFocal,
        "ctc": CTC,
        "multi-task": MultiTask,
    },
    Loss,
    classes=True,
)


def difficulty(agreement: float | None) -> int:
    """Level of an utterance from the vote proportion of its label: 1.0 -> 0, >= 0.65 -> 1, else 2.

    0 where nobody voted (Zhong et al. 2020, section 2.4).
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
    # With an exponent below 1 the slope of the power is unbounded at 0.
    missing = (-torch.expm1(log_p)).clamp(min=1e-6)
    losses = -(targets * missing**exponents * log_p).sum(dim=1)
    return weighted_mean(losses, targets, weights)


def weighted_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    smoothing: float = 0.0,
    class_mask: Tensor | None = None,
) -> Tensor:
    """Mean of w . target . -log p, divided by the batch's mean weight.

    ``logits`` and ``targets`` (batch, labels), ``weights`` (labels,). Labels are smoothed over all
    classes, or over those that are True in ``class_mask`` (batch, labels).
    """
    if class_mask is None:
        smoothed = targets * (1 - smoothing) + smoothing / targets.shape[1]
    else:
        share = class_mask.to(targets.dtype)
        smoothed = targets * (1 - smoothing) + smoothing * share / share.sum(dim=1, keepdim=True)
    losses = -(smoothed * F.log_softmax(logits, dim=1)).sum(dim=1)
    return weighted_mean(losses, targets, weights)


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
    return weighted_mean(losses, F.one_hot(labels, targets.shape[1]).float(), weights)


def mean_absolute_error(estimate: Tensor, truth: Tensor) -> Tensor:
    """Mean |estimate - truth| over the examples whose truth is known; 0 when none is."""
    known = ~torch.isnan(truth)
    errors = (estimate - torch.where(known, truth, estimate.detach())).abs()
    return errors.sum() / known.sum().clamp(min=1)


def _framewise(model: SpeechModel) -> Framewise:
    if not isinstance(model, Framewise):
        raise _unfit("ctc", model, "output 'ctc' of pcnse-sadrn-ctc")
    return model


def _estimating(model: SpeechModel) -> Estimating:
    if not isinstance(model, Estimating):
        raise _unfit("multi-task", model, "multi_task of wavlm-sap")
    return model


def _uncentred(loss: str, model: SpeechModel) -> None:
    if model.prior is not None:
        raise UserError(
            f"loss {loss}: it takes no episodes, whose logits are centred by voice",
            "--set episodes=null, or another loss",
        )


def _unfit(loss: str, model: SpeechModel, what: str) -> UserError:
    return UserError(
        f"loss {loss}: {type(model).__name__} cannot be trained with it", f"see {what}"
    )
