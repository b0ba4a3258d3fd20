"""Layers that several models are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FAR_BELOW = -1e30
"""A score to which softmax gives no weight, and which float32 and bfloat16 can represent."""


class ConvLayer(nn.Module):
    """3x3 convolution, batch normalisation, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=bias)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels in, time, bands) -> (batch, channels out, time, bands)."""
        y: Tensor = self.norm(self.conv(x)).relu_()
        return y


class AttentionPooling(nn.Module):
    """softmax over time of u * sigmoid(w . h + b): one learned weight per step."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.score = nn.Linear(inputs, 1)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, h: Tensor, counts: Tensor) -> Tensor:
        """(batch, time, inputs), (batch, time) bool -> (batch, inputs)."""
        scores = self.scale * torch.sigmoid(self.score(h).squeeze(2).float())
        weights = torch.softmax(scores.masked_fill(~counts, FAR_BELOW), dim=1)
        return (weights[:, :, None] * h).sum(dim=1)


class WeightedPooling(nn.Module):
    """softmax over time of w . h: one learned weight per step; it begins as the mean over time."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.score = nn.Linear(inputs, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, h: Tensor, counts: Tensor) -> Tensor:
        """(batch, time, inputs), (batch, time) bool -> (batch, inputs)."""
        scores = self.score(h).squeeze(2).float().masked_fill(~counts, FAR_BELOW)
        return (torch.softmax(scores, dim=1)[:, :, None] * h).sum(dim=1)


class MeanPooling(nn.Module):
    """Mean over time."""

    def forward(self, h: Tensor, counts: Tensor) -> Tensor:
        """(batch, time, inputs), (batch, time) bool -> (batch, inputs)."""
        return masked_mean(h, counts[:, :, None], dim=1)


class SelfAttention(nn.Module):
    """Scaled dot-product attention among the valid steps (Vaswani et al. 2017, section 3.2).

    ``mixed``: with an output projection over the heads.
    """

    def __init__(self, size: int, heads: int = 1, *, bias: bool = True, mixed: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(size, size, bias=bias)
        self.key = nn.Linear(size, size, bias=bias)
        self.value = nn.Linear(size, size, bias=bias)
        self.output = nn.Linear(size, size, bias=bias) if mixed else nn.Identity()

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:
        """(batch, time, size), (batch, time) bool or None: all -> as x; junk if all are False."""
        batch, time, size = x.shape
        query, key, value = (
            layer(x).reshape(batch, time, self.heads, size // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = (query @ key.transpose(2, 3)).float() * (size // self.heads) ** -0.5
        if counts is not None:
            scores = scores.masked_fill(~counts[:, None, None, :], FAR_BELOW)
        attended = torch.softmax(scores, dim=3).to(value.dtype) @ value
        answer: Tensor = self.output(attended.transpose(1, 2).reshape(batch, time, size))
        return answer


def masked_mean(x: Tensor, counts: Tensor, dim: int, *, keepdim: bool = False) -> Tensor:
    """Mean of ``x`` over ``dim`` where ``counts`` (bool or 0 and 1, broadcast to x) is 1; 0 where
    it is 0 throughout.
    """
    weights = counts.to(x.dtype)
    total = (x * weights).sum(dim, keepdim=keepdim)
    return total / weights.sum(dim, keepdim=keepdim).clamp(min=1.0)


def xavier(module: nn.Module) -> None:
    """Xavier-uniform weights, zero biases, gate biases of one, as the authors of the lightweight
    model initialise them, except for the recurrent weights: ours are orthogonal."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.GRU):
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(parameter)
                elif name.startswith("weight_hh"):
                    nn.init.orthogonal_(parameter)
                else:
                    parameter.zero_()
                    if name.startswith("bias_ih"):
                        parameter[: 2 * module.hidden_size] = 1.0
