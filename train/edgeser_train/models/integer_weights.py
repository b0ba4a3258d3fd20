"""Weights used as eight-bit integers, fixed or trained."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class IntegerWeights(nn.Module):
    """Weights as eight-bit integers, with one scale for each output; they are not trained."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, outputs: int, *inputs: int, bias: bool = False) -> None:
        """Random weights, as a linear layer or convolution is initialised."""
        super().__init__()
        weight, scale = in_integers(_random(outputs, *inputs))
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", torch.zeros(outputs) if bias else None)

    def forward(self) -> Tensor:
        """The weights in float32, (outputs, ...)."""
        return self.weight.float() * self.scale

    def integers(self) -> tuple[Tensor, Tensor]:
        """int8 (outputs, ...), and scales (outputs, 1, ...)."""
        return self.weight, self.scale


class LearntWeights(nn.Module):
    """Weights that are trained, and used as rounded by ``IntegerWeights``.

    A gradient passes the rounding as if it were not there (straight-through estimator, Bengio et
    al. 2013).
    """

    bias: Tensor | None

    def __init__(self, outputs: int, *inputs: int, bias: bool = False) -> None:
        """Random weights."""
        super().__init__()
        self.weight = nn.Parameter(_random(outputs, *inputs))
        self.register_buffer("bias", torch.zeros(outputs) if bias else None)

    def forward(self) -> Tensor:
        """The weights in float32, (outputs, ...), rounded."""
        weight, scale = self.integers()
        return self.weight + (weight.float() * scale - self.weight).detach()

    def integers(self) -> tuple[Tensor, Tensor]:
        """As ``IntegerWeights`` has it."""
        return in_integers(self.weight.detach())


def in_integers(weights: Tensor) -> tuple[Tensor, Tensor]:
    """(outputs, ...) float32 -> int8 of that shape, and scales (outputs, 1, ...)."""
    largest = weights.abs().flatten(1).amax(dim=1).clamp(min=1e-12)
    scale = (largest / 127).reshape(-1, *[1] * (weights.ndim - 1))
    return torch.round(weights / scale).to(torch.int8), scale


def _random(outputs: int, *inputs: int) -> Tensor:
    random: Tensor = torch.randn(outputs, *inputs) * math.prod(inputs) ** -0.5
    return random
