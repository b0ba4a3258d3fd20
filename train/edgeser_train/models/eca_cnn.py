"""Six-layer CNN with efficient channel attention (Kim, Kwon)."""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeser_train.models.config import ModelConfig
from edgeser_train.models.layers import ConvLayer, masked_mean
from edgeser_train.models.speech_model import SpeechModel, length_mask

LAYERS = 6


class EcaCnnConfig(
    msgspec.Struct,
    ModelConfig,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="name",
    tag="eca-cnn",
):
    """The architecture as data; the defaults are the paper's choice.

    ``n`` is the width factor: layer i has 16 * i * n channels. ``eca`` names the layers (1 to 6)
    with channel attention and ``kernel`` its odd size; "adaptive" sizes it by the layer's width:
    ``eca=(1, 2, 3, 4, 5, 6), kernel="adaptive"`` is efficient channel attention as first published.
    ``dropout`` (none in the paper) acts in training only, before both linear layers.
    """

    labels: int = 4
    mels: int = 64
    n: int = 4
    eca: tuple[int, ...] = (5, 6)
    kernel: int | Literal["adaptive"] = 7
    conv_bias: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.labels < 2 or self.n < 1 or self.mels < EcaCnn.min_frames:
            raise ValueError(
                f"eca-cnn: need labels >= 2, n >= 1, mels >= {EcaCnn.min_frames}, got "
                f"{self.labels}, {self.n}, {self.mels}"
            )
        if len(set(self.eca)) < len(self.eca) or not set(self.eca) <= set(range(1, LAYERS + 1)):
            raise ValueError(f"eca-cnn: eca {self.eca} must name layers from 1 to {LAYERS} once")
        if self.kernel != "adaptive" and (self.kernel < 1 or self.kernel % 2 == 0):
            raise ValueError(f'eca-cnn: kernel {self.kernel} must be odd, or "adaptive"')
        if not 0 <= self.dropout < 1:
            raise ValueError(f"eca-cnn: dropout {self.dropout} is outside [0, 1)")

    @property
    def width(self) -> int:
        """Features per frame."""
        return self.mels


class EcaCnn(SpeechModel):
    """Log-mel features to logits.

    Without padding it is the paper's network. The padding of shorter utterances is masked: it is
    zero at the input of every convolution, and left out of every mean. (In training, the batch
    normalisation's statistics do include the zeros of a padded batch.)
    """

    config_type = EcaCnnConfig
    min_frames = 2 ** (LAYERS - 1)  # one position is left after the poolings

    def __init__(self, config: EcaCnnConfig) -> None:
        super().__init__(config.width)
        self.config = config
        c = config
        widths = [1, *(16 * i * c.n for i in range(1, LAYERS + 1))]
        self.layers = nn.ModuleList(
            ConvLayer(widths[i - 1], widths[i], bias=c.conv_bias) for i in range(1, LAYERS + 1)
        )
        self.attentions = nn.ModuleDict(
            {str(i): ChannelAttention(_kernel(c, widths[i])) for i in c.eca}
        )
        self.head = nn.Sequential(
            nn.Dropout(c.dropout),
            nn.Linear(widths[-1], widths[-1]),
            nn.ReLU(),
            nn.Dropout(c.dropout),
            nn.Linear(widths[-1], c.labels),
        )
        self.apply(_initialise)

    def forward(self, features: Tensor, frames: Tensor) -> Tensor:
        """(batch, frames, mels) float32 and (batch,) int64 -> logits (batch, labels)."""
        logits: Tensor = self.head(self.pooled(features, frames))
        return logits

    def pooled(self, features: Tensor, frames: Tensor) -> Tensor:
        """The utterance as one vector: (batch, 96 n)."""
        x = self.standardised(features, frames)[:, None]
        x = x.contiguous(memory_format=torch.channels_last)
        inside = length_mask(frames, x.shape[2])[:, None, :, None].to(features.dtype)
        for i, layer in enumerate(self.layers, start=1):
            x = layer(x)
            scale = self._scale(i, x, inside)
            if i < LAYERS:
                # Pooling and scaling commute. A pooled position is valid if both its frames are.
                inside = inside[:, :, 1::2]
                x = F.avg_pool2d(x, 2) * (inside * scale).to(x.dtype)
        return (_mean(x, inside) * scale).flatten(1)

    def _scale(self, layer: int, x: Tensor, inside: Tensor) -> Tensor | float:
        """Channel attention of a layer (batch, channels, 1, 1), 1 where it has none."""
        if layer not in self.config.eca:
            return 1.0
        scale: Tensor = self.attentions[str(layer)](_mean(x, inside))
        return scale


class ChannelAttention(nn.Module):
    """One weight per channel, from the means of its neighbours: a bias-free convolution."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, means: Tensor) -> Tensor:
        """(batch, channels, 1, 1) -> weights in (0, 1) of the same shape."""
        weights: Tensor = self.conv(means.flatten(1)[:, None]).sigmoid()
        return weights[:, 0, :, None, None]


def _mean(x: Tensor, inside: Tensor) -> Tensor:
    """Mean over the valid positions: (batch, channels, 1, 1).

    ``x`` (batch, channels, time, bands), ``inside`` (batch, 1, time, 1) of 0 and 1.
    """
    return masked_mean(x.mean(3, keepdim=True), inside, dim=2, keepdim=True)


def _kernel(config: EcaCnnConfig, channels: int) -> int:
    """The configured kernel, or the odd number at |log2(channels) / 2 + 1 / 2|."""
    if config.kernel != "adaptive":
        return config.kernel
    size = int(abs(math.log2(channels) / 2 + 0.5))
    return size if size % 2 else size + 1


def _initialise(module: nn.Module) -> None:
    """He-normal weights, zero biases."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
