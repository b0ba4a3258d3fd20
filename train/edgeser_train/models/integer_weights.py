"""Weights of eight bits: what is frozen, and should be small."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class IntegerWeights(nn.Module):
    """Weights as integers of eight bits, with one scale for each output."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, outputs: int, *inputs: int, bias: bool = False) -> None:
        """Random ones, as a linear layer or convolution would begin with."""
        super().__init__()
        random = torch.randn(outputs, *inputs) * math.prod(inputs) ** -0.5
        weight, scale = in_integers(random)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", torch.zeros(outputs) if bias else None)

    def forward(self) -> Tensor:
        """The weights in float32, (outputs, ...)."""
        return self.weight.float() * self.scale


def in_integers(weights: Tensor) -> tuple[Tensor, Tensor]:
    """(outputs, ...) float32 -> int8 of that shape, and scales (outputs, 1, ...)."""
    largest = weights.abs().flatten(1).amax(dim=1).clamp(min=1e-12)
    scale = (largest / 127).reshape(-1, *[1] * (weights.ndim - 1))
    return torch.round(weights / scale).to(torch.int8), scale
