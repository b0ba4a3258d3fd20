"""Moonshine's encoder (Jeffries et al. 2024), with its padding masked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeser_train.models.integer_weights import IntegerWeights, LearntWeights
from edgeser_train.models.layers import FAR_BELOW
from edgeser_train.models.speech_model import length_mask

if TYPE_CHECKING:
    from edgeser_train.models.moonshine import MoonshineConfig

_ROTARY_BASE = 10_000.0


class MoonshineEncoder(nn.Module):
    """Samples to one vector each 24 ms.

    Weights are buffers, which no training changes, except the matrices of the ``learnt`` layers.
    """

    def __init__(self, config: MoonshineConfig) -> None:
        super().__init__()
        size = config.hidden
        self.register_buffer("conv1", torch.randn(size, 1, 127) * 127**-0.5)
        self.narrow2 = IntegerWeights(config.rank, size, 7)
        self.conv2 = IntegerWeights(2 * size, config.rank, 1, bias=True)
        self.conv3 = IntegerWeights(size, 2 * size, 3, bias=True)
        self.register_buffer("norm_weight", torch.ones(size))
        self.register_buffer("norm_bias", torch.zeros(size))
        self.frozen = config.layers - config.learnt
        self.layers = nn.ModuleList(
            _Layer(config, last=i + 1 == config.layers, learnt=i >= self.frozen)
            for i in range(config.layers)
        )
        self.rotary = config.rotary

    conv1: Tensor
    norm_weight: Tensor
    norm_bias: Tensor

    def take(self, weights: dict[str, Tensor]) -> None:
        """Load the state of an encoder of these sizes with ``learnt`` 0.

        Raises RuntimeError or KeyError for one of other config.
        """
        state = dict(weights)
        for name, module in self.named_modules():
            if isinstance(module, LearntWeights):
                state[f"{name}.weight"] = state[f"{name}.weight"] * state.pop(f"{name}.scale")
        self.load_state_dict(state)

    def forward(self, samples: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 320 * n), (batch,) -> (batch, steps, hidden), (batch,): the valid steps."""
        with torch.no_grad():
            x, counts = self._convolved(samples, frames)
            inside = length_mask(counts, x.shape[1])
            turn = _turns(x.shape[1], self.rotary, x)
            for layer in self.layers[: self.frozen]:
                x = layer(x, inside, turn)
        for layer in self.layers[self.frozen :]:
            x = layer(x, inside, turn)
        return x, counts

    def _convolved(self, samples: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.tanh(F.conv1d(samples[:, None], self.conv1, stride=64))
        counts = 5 * frames - 1
        x = _normalised(x, counts, self.norm_weight, self.norm_bias)
        x = F.conv1d(x, self.narrow2(), stride=3)
        x = F.gelu(F.conv1d(x, self.conv2(), self.conv2.bias))
        x = F.gelu(F.conv1d(x, self.conv3(), self.conv3.bias, stride=2)).transpose(1, 2)
        return x, _after(_after(counts, 7, 3), 3, 2)


class _Layer(nn.Module):
    """Pre-norm transformer layer: self-attention and a feed-forward layer, each with a residual.

    The ``last`` one has no feed-forward layer.
    """

    def __init__(self, config: MoonshineConfig, *, last: bool, learnt: bool) -> None:
        super().__init__()
        size = config.hidden
        weights = LearntWeights if learnt else IntegerWeights
        self.heads = config.heads
        self.register_buffer("attention_norm", torch.ones(size))
        self.query = weights(size, size)
        self.key = weights(size, size)
        self.value = weights(size, size)
        self.output = weights(size, size)
        self.feed_forward = None if last else _FeedForward(config, weights)

    attention_norm: Tensor

    def forward(self, x: Tensor, inside: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        """(batch, steps, hidden), (batch, steps) bool -> as x."""
        normed = F.layer_norm(x, self.attention_norm.shape, self.attention_norm)
        x = x + F.linear(self._attended(normed, inside, turn), self.output())
        return x if self.feed_forward is None else x + self.feed_forward(x)

    def _attended(self, x: Tensor, inside: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        batch, steps, size = x.shape

        def split(weights: IntegerWeights | LearntWeights) -> Tensor:
            y = F.linear(x, weights()).reshape(batch, steps, self.heads, size // self.heads)
            return y.transpose(1, 2)

        query, key = (_turned(split(weights), turn) for weights in (self.query, self.key))
        scores = (query @ key.transpose(2, 3)).float() * (size // self.heads) ** -0.5
        scores = scores.masked_fill(~inside[:, None, None, :], FAR_BELOW)
        value = split(self.value)
        mixed = torch.softmax(scores, dim=3).to(value.dtype) @ value
        return mixed.transpose(1, 2).reshape(batch, steps, size)


class _FeedForward(nn.Module):
    def __init__(
        self, config: MoonshineConfig, weights: type[IntegerWeights] | type[LearntWeights]
    ) -> None:
        super().__init__()
        self.register_buffer("norm", torch.ones(config.hidden))
        self.wide = weights(config.feed_forward, config.hidden, bias=True)
        self.narrow = weights(config.hidden, config.feed_forward, bias=True)

    norm: Tensor

    def forward(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x, self.norm.shape, self.norm)
        wide = F.gelu(F.linear(normed, self.wide(), self.wide.bias))
        return F.linear(wide, self.narrow(), self.narrow.bias)


def _after(counts: Tensor, kernel: int, stride: int) -> Tensor:
    """Output steps of a convolution for so many input steps."""
    return torch.div(counts - kernel, stride, rounding_mode="floor") + 1


def _normalised(x: Tensor, counts: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Group norm, one group, over the first ``counts`` (batch,) of (batch, channels, steps)."""
    inside = length_mask(counts, x.shape[2])[:, None]
    number = (counts * x.shape[1]).to(x.dtype)[:, None, None]
    mean = x.masked_fill(~inside, 0.0).sum(dim=(1, 2), keepdim=True) / number
    centred = (x - mean).masked_fill(~inside, 0.0)
    variance = centred.square().sum(dim=(1, 2), keepdim=True) / number
    return centred * torch.rsqrt(variance + 1e-5) * weight[:, None] + bias[:, None]


def _turns(steps: int, rotary: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary embeddings (Su et al. 2021), (steps, rotary / 2) each."""
    places = torch.arange(steps, device=like.device, dtype=torch.float32)
    rates = _ROTARY_BASE ** (-torch.arange(0, rotary, 2, device=like.device) / rotary)
    angles = places[:, None] * rates
    return angles.cos(), angles.sin()


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary embedding: pairs of dimensions turned, the last ones left; (..., steps, size)."""
    cos, sin = turn
    rotary = 2 * cos.shape[1]
    even, odd = x[..., 0:rotary:2], x[..., 1:rotary:2]
    pairs = torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1)
    return torch.cat((pairs.flatten(-2), x[..., rotary:]), dim=-1).to(x.dtype)
