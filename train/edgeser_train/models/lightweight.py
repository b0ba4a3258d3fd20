"""Lightweight separable-convolution model (Zhong, Hu, Huang, Silamu; Interspeech 2020)."""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor, nn

from edgeser_train.models.config import ModelConfig
from edgeser_train.models.layers import FAR_BELOW, AttentionPooling, MeanPooling, xavier
from edgeser_train.models.speech_model import SpeechModel, length_mask


class LightweightConfig(
    msgspec.Struct,
    ModelConfig,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="name",
    tag="lightweight",
):
    """The architecture as data; the defaults are the paper's (section 2), ``blocks`` its n.

    Without ``attention``, as in the paper's ablation, the steps are averaged.

    ``dropout`` (none in the paper) acts in training only, before the GRU and before the head.
    With ``early_pool`` the pooling comes before the first separable convolution instead of after
    it: where memory is slower than arithmetic, that convolution costs most of the time.
    """

    labels: int = 4
    mels: int = 128
    blocks: int = 5
    attention: bool = True
    entry_channels: int = 32
    channels: int = 64
    expansion: int = 2
    hidden: int = 128
    head: int = 64
    dropout: float = 0.0
    early_pool: bool = False

    def __post_init__(self) -> None:
        if self.labels < 2 or self.blocks < 1 or self.mels < 3:
            raise ValueError(
                f"lightweight: need labels >= 2, blocks >= 1, mels >= 3, got {self.labels}, "
                f"{self.blocks}, {self.mels}"
            )
        if min(self.entry_channels, self.channels, self.expansion, self.hidden, self.head) < 1:
            raise ValueError("lightweight: sizes must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"lightweight: dropout {self.dropout} is outside [0, 1)")

    @property
    def width(self) -> int:
        """Features per frame."""
        return self.mels


class Lightweight(SpeechModel):
    """Log-mel features to logits."""

    config_type = LightweightConfig
    min_frames = 3

    def __init__(self, config: LightweightConfig) -> None:
        super().__init__(config.width)
        self.config = config
        c = config
        self.entry = nn.Conv2d(1, c.entry_channels, 3, stride=2)
        self.first = SeparableBlock(c.entry_channels, c.channels, c.channels)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            SeparableBlock(c.channels, c.channels * c.expansion, c.channels)
            for _ in range(c.blocks)
        )
        bands = ((c.mels - 1) // 2 + 1) // 2
        self.drop = nn.Dropout(c.dropout)
        self.gru = SharedBiGRU(bands * c.channels, c.hidden)
        self.pooling = AttentionPooling(2 * c.hidden) if c.attention else MeanPooling()
        self.head = nn.Sequential(
            nn.Linear(2 * c.hidden, c.head), nn.PReLU(c.head), nn.Linear(c.head, c.labels)
        )
        self.apply(xavier)

    def forward(self, features: Tensor, frames: Tensor) -> Tensor:
        """(batch, frames, mels) float32 and (batch,) int64 -> logits (batch, labels)."""
        x, steps = self.convolved(features, frames)
        return self.logits(x, steps)

    def convolved(self, features: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Input of the GRU (batch, steps, bands * channels) and number of valid steps (batch,)."""
        x = self.standardised(features, frames)[:, None]
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.entry(x).relu_()
        halved = (frames - 1) // 2
        blocked = _blocked(halved, x)
        if not self.config.early_pool:
            x = self.first(x, blocked)
        # Symmetric padding, and invalid frames never win a maximum, just like padding: the result
        # is that of the utterance alone.
        x = self.pool(x + blocked)
        steps = (halved + 1) // 2
        blocked = _blocked(steps, x)
        x = x.masked_fill(blocked < 0, 0.0)
        if self.config.early_pool:
            x = self.first(x, blocked)
        for block in self.blocks:
            x = x + block(x, blocked)
        return x.permute(0, 2, 3, 1).flatten(2), steps

    def logits(self, x: Tensor, steps: Tensor) -> Tensor:
        """From the convolved utterance to its logits (batch, labels)."""
        h = self.gru(self.drop(x), steps)
        pooled: Tensor = self.pooling(h, length_mask(steps, h.shape[1]))
        return self.beside_noise(self.head(self.drop(pooled)), pooled)


class SeparableBlock(nn.Module):
    """1x1 expansion, depthwise 3x3, linear 1x1 projection (Zhong et al., figure 2)."""

    def __init__(self, channels_in: int, expanded: int, channels_out: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels_in, expanded, 1)
        self.depthwise = nn.Conv2d(expanded, expanded, 3, padding=1, groups=expanded, bias=False)
        self.project = nn.Conv2d(expanded, channels_out, 1)

    def forward(self, x: Tensor, blocked: Tensor) -> Tensor:
        """(batch, channels, time, bands), blocked (batch, 1, time, 1) -> the same shape.

        The bias of the expansion makes padded frames non-zero: ``blocked`` pushes them far below
        zero, so that the ReLU makes them zero for the one convolution that looks at neighbours.
        """
        x = self.expand(x).add_(blocked).relu_()
        projected: Tensor = self.project(self.depthwise(x).relu_())
        return projected


class SharedBiGRU(nn.Module):
    """Two directions with one set of weights, as one GRU over a doubled batch.

    An exporter stores the weights once, and since each utterance is reversed by its own length,
    padding stays out of the backward direction.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, hidden, batch_first=True)

    def forward(self, x: Tensor, steps: Tensor) -> Tensor:
        """(batch, time, inputs), (batch,) -> (batch, time, 2 * hidden); junk after ``steps``."""
        batch, time = x.shape[0], x.shape[1]
        turned = (steps[:, None] - 1 - torch.arange(time, device=x.device)).clamp(min=0)
        rows = turned + time * torch.arange(batch, device=x.device)[:, None]
        both, _ = self.gru(torch.cat((x, _rows(x, rows))))
        return torch.cat((both[:batch], _rows(both[batch:], rows)), dim=2)


def _blocked(lengths: Tensor, x: Tensor) -> Tensor:
    """0 inside each length, far below any activation after it: (batch, 1, time of x, 1)."""
    outside = ~length_mask(lengths, x.shape[2])
    return outside[:, None, :, None].to(x.dtype) * FAR_BELOW


def _rows(x: Tensor, rows: Tensor) -> Tensor:
    """Rows of (batch, time, n), by their index in the flattened (batch * time), in that shape."""
    picked = x.flatten(0, 1).index_select(0, rows.flatten())
    return picked.reshape(x.shape[0], x.shape[1], x.shape[2])
