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
    if not hasattr(model, TRUNK) or not hasattr(other, TRUNK):
        raise UserError(
            f"initialise: {type(other).__name__} and {type(model).__name__} as configured are not "
            f"of one architecture, and have no part '{TRUNK}' in common",
            "give a model of the same configuration",
        )
    source, target = getattr(other, TRUNK), getattr(model, TRUNK)
    theirs, ours = ({k: x.shape for k, x in part.state_dict().items()} for part in (source, target))
    for name in sorted(theirs.keys() | ours.keys()):
        if theirs.get(name) != ours.get(name):
            raise UserError(
                f"initialise: {TRUNK}.{name} differs between the models",
                "give both the same channels and bands",
            )
    return _copied(target, source)


def _copied(model: nn.Module, other: nn.Module) -> int:
    source, target = other.state_dict(), model.state_dict()
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(source[name])
    return len(target)
