"""CNN with attention pooling over time and frequency (Li, Song, McLoughlin, Guo, Dai; 2018)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeser_train.models.config import ModelConfig
from edgeser_train.models.layers import ConvLayer
from edgeser_train.models.speech_model import SpeechModel

CHANNELS = (16, 32, 48, 64, 80)
"""Channels after each layer; the first has two filters, along time and along frequency."""
ALONG_FREQUENCY = (2, 10)
ALONG_TIME = (8, 2)
"""Filters of the first layer: (frames, bins), 20 ms x 100 Hz and 80 ms x 20 Hz."""


class AttentionPoolingConfig(
    msgspec.Struct,
    ModelConfig,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="name",
    tag="attention-pooling",
):
    """The architecture as data; the defaults are the paper's.

    ``head``: how the last layer's feature map is pooled. "gap" averages it, "bilinear" pools its
    channels' products, "attention" sums per-class scores over the map, weighted per position.
    ``attn_norm``: "softmax_sum" makes those weights sum to one, "none_mean" leaves them free and
    averages. ``pools``: layers with a 2 x 2 maximum after them. ``dropout`` (none in the paper)
    acts in training only, on whole channels of the map.
    """

    labels: int = 4
    bins: int = 400
    head: Literal["gap", "bilinear", "attention"] = "attention"
    attn_norm: Literal["softmax_sum", "none_mean"] = "softmax_sum"
    pools: tuple[int, ...] = (2, 3)
    conv_bias: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.labels < 2 or self.bins < AttentionPooling.min_frames:
            raise ValueError(
                f"attention-pooling: need labels >= 2, bins >= {AttentionPooling.min_frames}, got "
                f"{self.labels}, {self.bins}"
            )
        if self.head not in HEADS:
            raise ValueError(f"attention-pooling: head {self.head!r} is none of {', '.join(HEADS)}")
        if self.attn_norm not in ("softmax_sum", "none_mean"):
            raise ValueError(
                f"attention-pooling: attn_norm {self.attn_norm!r} is none of softmax_sum, none_mean"
            )
        if len(set(self.pools)) < len(self.pools) or not set(self.pools) <= {1, 2, 3}:
            raise ValueError(
                f"attention-pooling: pools {self.pools} must name layers from 1 to 3 once"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"attention-pooling: dropout {self.dropout} is outside [0, 1)")

    @property
    def width(self) -> int:
        """Features per frame."""
        return self.bins


class AttentionPooling(SpeechModel):
    """Companded spectra of a piece to logits.

    A piece of less than 2 s is padded with zeros, which, as in the paper, are not masked: what the
    frames after its end hold never matters, but how many there are does. The window policy pads
    every piece to one length.
    """

    config_type = AttentionPoolingConfig
    min_frames = 8  # one position is left after three poolings

    def __init__(self, config: AttentionPoolingConfig) -> None:
        super().__init__(config.width)
        self.config = config
        c = config
        self.layers = nn.ModuleList([FirstLayer(CHANNELS[0], bias=c.conv_bias)])
        for channels_in, channels_out in pairwise(CHANNELS):
            self.layers.append(ConvLayer(channels_in, channels_out, bias=c.conv_bias))
        self.drop = nn.Dropout2d(c.dropout)
        self.head = HEADS[c.head](c)
        self.apply(_initialise)

    def forward(self, features: Tensor, frames: Tensor) -> Tensor:
        """(batch, frames, bins) float32 and (batch,) int64 -> logits (batch, labels)."""
        logits: Tensor = self.head(self.drop(self.convolved(features, frames)))
        return logits

    def convolved(self, features: Tensor, frames: Tensor) -> Tensor:
        """The map of the last layer: (batch, 80, frames / 4, bins / 4)."""
        x = self.standardised(features, frames)[:, None]
        x = x.contiguous(memory_format=torch.channels_last)
        for i, layer in enumerate(self.layers, start=1):
            x = layer(x)
            if i in self.config.pools:
                x = F.max_pool2d(x, 2)
        return x


class FirstLayer(nn.Module):
    """Filters along frequency and along time, in parallel; normalisation, ReLU."""

    def __init__(self, channels: int, *, bias: bool) -> None:
        super().__init__()
        self.along_frequency = nn.Conv2d(
            1, channels // 2, ALONG_FREQUENCY, padding=(0, 4), bias=bias
        )
        self.along_time = nn.Conv2d(1, channels // 2, ALONG_TIME, padding=(3, 0), bias=bias)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, frames, bins) -> (batch, channels, frames, bins)."""
        x = F.pad(x, (0, 1, 0, 1))  # even filters keep the size with one more zero at the end
        x = torch.cat((self.along_frequency(x), self.along_time(x)), dim=1)
        y: Tensor = self.norm(x).relu_()
        return y


class MeanHead(nn.Module):
    """Global average pooling and a linear layer."""

    def __init__(self, config: AttentionPoolingConfig) -> None:
        super().__init__()
        self.classify = nn.Linear(CHANNELS[-1], config.labels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames, bins) -> (batch, labels)."""
        logits: Tensor = self.classify(x.mean((2, 3)))
        return logits


class BilinearHead(nn.Module):
    """Mean product of every two channels, signed square root, L2 normalisation, linear layer."""

    def __init__(self, config: AttentionPoolingConfig) -> None:
        super().__init__()
        self.classify = nn.Linear(CHANNELS[-1] ** 2, config.labels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames, bins) -> (batch, labels)."""
        logits: Tensor = self.classify(self.products(x))
        return logits

    def products(self, x: Tensor) -> Tensor:
        """(batch, channels, frames, bins) -> (batch, channels ** 2), each row of norm one."""
        x = x.flatten(2)
        means = (x @ x.transpose(1, 2)).flatten(1).float() / x.shape[2]
        rooted = means.sign() * (means.abs() + 1e-12).sqrt()  # finite gradient at zero
        return F.normalize(rooted, dim=1)


class AttentionHead(nn.Module):
    """Scores of every class at every position (top-down), weighted per position (bottom-up)."""

    def __init__(self, config: AttentionPoolingConfig) -> None:
        super().__init__()
        self.softmax = config.attn_norm == "softmax_sum"
        self.top_down = nn.Conv2d(CHANNELS[-1], config.labels, 1)
        self.bottom_up = nn.Conv2d(CHANNELS[-1], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames, bins) -> (batch, labels)."""
        scores: Tensor = self.top_down(x).flatten(2).float()
        return (scores * self.weights(x)).sum(dim=2)

    def weights(self, x: Tensor) -> Tensor:
        """Weight of every position: (batch, 1, positions)."""
        weights: Tensor = self.bottom_up(x).flatten(2).float()
        return torch.softmax(weights, dim=2) if self.softmax else weights / weights.shape[2]


HEADS: dict[str, Callable[[AttentionPoolingConfig], nn.Module]] = {
    "gap": MeanHead,
    "bilinear": BilinearHead,
    "attention": AttentionHead,
}


def _initialise(module: nn.Module) -> None:
    """He-normal convolutions (the paper names none); linear layers keep PyTorch's own."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, AttentionHead) and module.softmax:
        nn.init.zeros_(module.bottom_up.weight)  # attention starts as the mean
