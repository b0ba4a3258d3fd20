"""Training in stages: a model starts from a part of another one."""

from __future__ import annotations

import torch

from edgeser.errors import UserError
from edgeser_train.models.speech_model import SpeechModel


def initialise_from(model: SpeechModel, other: SpeechModel, part: str = "trunk") -> int:
    """Copy the weights of the submodule ``part`` from ``other``; -> how many tensors.

    Raises UserError where one of them lacks the part, or its shapes differ.
    """
    if not hasattr(model, part) or not hasattr(other, part):
        raise UserError(f"initialise: no part {part!r} that both models have")
    source = getattr(other, part).state_dict()
    target = getattr(model, part).state_dict()
    for name in sorted(set(source) | set(target)):
        if name not in source or name not in target or source[name].shape != target[name].shape:
            raise UserError(
                f"initialise: {part}.{name} differs between the models; give both the same "
                f"channels and bands"
            )
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(source[name])
    return len(target)
