"""The optimiser and its learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.training.recipe import Optimiser


def optimiser_of(model: SpeechModel, spec: Optimiser, steps: int, epochs: int) -> dict[str, Any]:
    """Optimiser and schedule as Lightning wants them, for ``steps`` steps in ``epochs`` epochs.

    Weight decay acts on matrices and kernels, not on biases and scales. What does not require a
    gradient is left out.
    """
    pretrained = {id(p) for p in model.pretrained()}
    by_kind: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for p in model.parameters():
        if p.requires_grad:
            by_kind.setdefault((id(p) in pretrained, p.ndim > 1), []).append(p)
    groups = [
        {
            "params": params,
            "lr": spec.learning_rate * (spec.pretrained_rate if is_pretrained else 1.0),
            "weight_decay": spec.weight_decay if is_matrix else 0.0,
        }
        for (is_pretrained, is_matrix), params in by_kind.items()
    ]
    optimiser: torch.optim.Optimizer
    if spec.method == "adamw":
        optimiser = torch.optim.AdamW(groups, lr=spec.learning_rate)
    elif spec.method == "adam":
        optimiser = torch.optim.Adam(groups, lr=spec.learning_rate)
    elif spec.method == "adadelta":
        optimiser = torch.optim.Adadelta(groups, lr=spec.learning_rate)
    else:
        optimiser = torch.optim.SGD(
            groups, lr=spec.learning_rate, momentum=spec.momentum, nesterov=spec.momentum > 0
        )
    waiting = min(round(spec.pretrained_after * steps), steps - 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        [factor_of(spec, steps, epochs, waiting if kind[0] else 0) for kind in by_kind],
    )
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def factor_of(spec: Optimiser, steps: int, epochs: int, first: int = 0) -> Callable[[int], float]:
    """The factor of the learning rate in step 0, 1, ...; it is 0 before step ``first``."""
    moving = steps - first
    rising = max(1, round(spec.warm_up * moving)) if spec.warm_up else 0
    drops = [(milestone - 1) * steps / epochs for milestone in spec.milestones]

    def factor(step: int) -> float:
        moved = step - first
        if moved < 0:
            return 0.0
        if moved < rising:
            return (moved + 1) / rising
        if spec.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * (moved - rising) / max(1, moving - rising)))
        if spec.schedule == "steps":
            return float(spec.decay ** sum(step >= drop for drop in drops))
        return 1.0

    return factor
