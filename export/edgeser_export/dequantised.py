"""Integer weights in a graph: integers in the file, dequantised when a runtime loads it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from edgeser_train.models.integer_weights import IntegerWeights, LearntWeights


def dequantised(model: nn.Module) -> None:
    """Make a model's integer weights traceable as DequantizeLinear, in place; same results."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, IntegerWeights | LearntWeights):
                setattr(parent, name, _Dequantised(child))


class _Dequantised(nn.Module):
    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, source: IntegerWeights | LearntWeights) -> None:
        super().__init__()
        weight, scale = source.integers()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.flatten())
        self.register_buffer("bias", source.bias)

    def forward(self) -> Tensor:
        weights: Tensor = _Dequantise.apply(self.weight, self.scale)  # type: ignore[no-untyped-call]
        return weights


class _Dequantise(torch.autograd.Function):
    """int8 (outputs, ...), float32 (outputs,) -> float32 (outputs, ...)."""

    @staticmethod
    def forward(_: Any, weight: Tensor, scale: Tensor) -> Tensor:
        return weight.float() * scale.reshape(-1, *[1] * (weight.ndim - 1))

    @staticmethod
    def symbolic(graph: Any, weight: Any, scale: Any) -> Any:
        made = graph.op("DequantizeLinear", weight, scale, axis_i=0)
        made.setType(weight.type().with_dtype(torch.float32))
        return made
