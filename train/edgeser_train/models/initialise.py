"""Training in stages: a model starts from another one, or from a part of it."""

from __future__ import annotations

import torch
from torch import nn

from edgeser.errors import UserError
from edgeser_train.models.speech_model import SpeechModel

TRUNK = "trunk"


def initialise(model: SpeechModel, other: SpeechModel) -> int:
    """Copy all weights from a model of the same architecture, or from another one those of the
    trunk; -> the number of tensors. Raises UserError where the two do not even share a trunk.
    """
    ours, theirs = (
        {name: tensor.shape for name, tensor in m.state_dict().items()} for m in (model, other)
    )
    if type(model) is type(other) and ours == theirs:
        return _copied(model, other)
    return initialise_from(model, other)


def initialise_from(model: SpeechModel, other: SpeechModel, part: str = TRUNK) -> int:
    """Copy the weights of the submodule ``part`` from ``other``; -> the number of tensors.

    Raises UserError where one of them lacks the part, or its shapes differ.
    """
    if not hasattr(model, part) or not hasattr(other, part):
        raise UserError(
            f"initialise: {type(other).__name__} and {type(model).__name__} as configured are not "
            f"of one architecture, and have no part {part!r} in common"
        )
    source = getattr(other, part).state_dict()
    target = getattr(model, part).state_dict()
    for name in sorted(set(source) | set(target)):
        if name not in source or name not in target or source[name].shape != target[name].shape:
            raise UserError(
                f"initialise: {part}.{name} differs between the models",
                "give both the same channels and bands",
            )
    return _copied(getattr(model, part), getattr(other, part))


def _copied(model: nn.Module, other: nn.Module) -> int:
    source, target = other.state_dict(), model.state_dict()
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(source[name])
    return len(target)
