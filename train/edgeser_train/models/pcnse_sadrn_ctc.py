"""Parallel CNN with squeeze-and-excitation, self-attention dilated residual network, CTC
(Zhao, Li, Zhang, Cummins, Wang, Tao, Schuller; Neural Networks 2021)."""

from __future__ import annotations

from typing import Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeser.errors import UserError
from edgeser_train.models.config import ModelConfig
from edgeser_train.models.ctc import class_log_probs
from edgeser_train.models.layers import SelfAttention
from edgeser_train.models.speech_model import SpeechModel

_TRIMMED = 13
"""Rows and columns that the branches' pooling (2) and the valid convolutions (7, 2, 2) take."""


class PcnseSadrnCtcConfig(
    msgspec.Struct,
    ModelConfig,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="name",
    tag="pcnse-sadrn-ctc",
):
    """The architecture as data; the defaults are the paper's.

    A frame holds ``mels`` static values, then as many for each order of ``deltas``. A piece is
    padded with zeros to ``pad_frames`` frames, none of which is masked. ``channels`` scales every
    layer. The paper's ablations: ``se`` off is PCN; ``back_end`` "none" is the trunk alone, "blstm"
    its baseline; ``attention`` off is DRN; ``output`` "ce" pools the steps (``pooling``) for one
    decision, where "ctc" labels every step. ``batch_norm`` is our addition.
    """

    labels: int = 4
    mels: int = 40
    deltas: int = 2
    pad_frames: int = 500
    channels: int = 64
    se: bool = True
    reduction: int = 8
    batch_norm: bool = False
    back_end: Literal["sadrn", "blstm", "none"] = "sadrn"
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    stacks: int = 1
    dropout: float = 0.1
    attention: bool = True
    output: Literal["ctc", "ce"] = "ctc"
    pooling: Literal["mean", "max"] = "mean"

    def __post_init__(self) -> None:
        if self.labels < 2 or self.deltas < 0 or min(self.mels, self.pad_frames) < _TRIMMED + 2:
            raise ValueError(
                f"pcnse-sadrn-ctc: need labels >= 2, deltas >= 0, mels and pad_frames >= "
                f"{_TRIMMED + 2}, got {self.labels}, {self.deltas}, {self.mels}, {self.pad_frames}"
            )
        if self.channels < self.reduction or self.reduction < 1:
            raise ValueError(
                f"pcnse-sadrn-ctc: channels {self.channels} < reduction {self.reduction}"
            )
        if self.stacks < 1 or not self.dilations or min(self.dilations) < 1:
            raise ValueError("pcnse-sadrn-ctc: need stacks >= 1 and dilations >= 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"pcnse-sadrn-ctc: dropout {self.dropout} is outside [0, 1)")

    @property
    def width(self) -> int:
        """Features per frame."""
        return self.mels * (1 + self.deltas)

    @property
    def steps(self) -> int:
        """Steps of time after the trunk."""
        return (self.pad_frames - _TRIMMED) // 2


class PcnseSadrnCtc(SpeechModel):
    """Log-mel features with deltas to logits; with CTC these are the exact log P([k] | X)."""

    config_type = PcnseSadrnCtcConfig

    def __init__(self, config: PcnseSadrnCtcConfig) -> None:
        super().__init__(config.width)
        self.config = config
        c = config
        self.trunk = Trunk(c)
        inputs = c.channels * ((c.mels - _TRIMMED) // 2)
        outputs = inputs if c.back_end == "none" else 2 * c.channels
        self.context: nn.Module = nn.Identity()
        if c.back_end == "sadrn":
            self.context = DilatedResidualNetwork(inputs, outputs, c)
        elif c.back_end == "blstm":
            self.context = BiLSTM(inputs, c.channels)
        attends = c.attention and c.back_end != "none"
        # One head and no biases, softmax(Q K' / sqrt(d)) V.
        self.attention = (
            SelfAttention(outputs, bias=False, mixed=False) if attends else nn.Identity()
        )
        self.head = nn.Linear(outputs, c.labels + (c.output == "ctc"))
        self.apply(_initialise)

    def forward(self, features: Tensor, frames: Tensor) -> Tensor:
        """(batch, frames, width) float32 and (batch,) int64 -> logits (batch, labels)."""
        if self.config.output == "ctc":
            log_probs, steps = self.frame_log_probs(features, frames)
            return class_log_probs(log_probs, steps, self.config.steps)
        h = self.contextual(features, frames)
        pooled = h.mean(dim=1) if self.config.pooling == "mean" else h.amax(dim=1)
        logits: Tensor = self.head(pooled)
        return logits

    def frame_log_probs(self, features: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (batch, steps, labels + 1), blank last, and number of steps (batch,).

        Raises UserError for a model with output "ce".
        """
        if self.config.output != "ctc":
            raise UserError("pcnse-sadrn-ctc: only output 'ctc' labels every step")
        h = self.head(self.contextual(features, frames)).float()
        return torch.log_softmax(h, dim=2), torch.full_like(frames, self.config.steps)

    def contextual(self, features: Tensor, frames: Tensor) -> Tensor:
        """The input of the head: (batch, steps, outputs).

        Raises UserError for a piece of more than ``pad_frames`` frames.
        """
        size = self.config.pad_frames
        if not torch.onnx.is_in_onnx_export() and features.shape[1] > size:
            raise UserError(
                f"pcnse-sadrn-ctc: a piece of {features.shape[1]} frames, the model hears {size}",
                f"cut windows into segments of at most {size} frames",
            )
        z = self.standardised(features, frames)
        z = torch.cat((z, z.new_zeros(z.shape[0], size, z.shape[2])), dim=1)[:, :size]
        h: Tensor = self.attention(self.context(self.trunk(z)))
        return h


class Trunk(nn.Module):
    """PCNSE: three parallel convolutions, then three valid ones (section 3.2, table 2)."""

    def __init__(self, c: PcnseSadrnCtcConfig) -> None:
        super().__init__()
        n = c.channels
        self.mels = c.mels
        self.branches = nn.ModuleList(
            nn.Sequential(ConvSE(1 + c.deltas, n, size, size // 2, c), nn.MaxPool2d(3, stride=1))
            for size in (1, 3, 5)
        )
        self.convs = nn.Sequential(
            ConvSE(3 * n, n, 8, 0, c),
            ConvSE(n, 2 * n, 3, 0, c),
            ConvSE(2 * n, n, 3, 0, c),
            nn.MaxPool2d(2),
        )

    def forward(self, z: Tensor) -> Tensor:
        """(batch, time, (1 + deltas) * mels) -> (batch, steps, bands * channels)."""
        x = z.reshape(z.shape[0], z.shape[1], -1, self.mels).transpose(1, 2)
        x = x.contiguous(memory_format=torch.channels_last)
        x = torch.cat([branch(x) for branch in self.branches], dim=1)
        y: Tensor = self.convs(x)
        return y.permute(0, 2, 3, 1).flatten(2)


class ConvSE(nn.Module):
    """Convolution, ReLU, and a gain per channel from the channels' means."""

    def __init__(
        self, inputs: int, outputs: int, size: int, padding: int, c: PcnseSadrnCtcConfig
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=padding)
        self.norm = nn.BatchNorm2d(outputs) if c.batch_norm else nn.Identity()
        squeezed = outputs // c.reduction
        self.gains = (
            nn.Sequential(nn.Linear(outputs, squeezed), nn.ReLU(), nn.Linear(squeezed, outputs))
            if c.se
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, time, bands) -> (batch, outputs, time, bands)."""
        x = torch.relu(self.norm(self.conv(x)))
        if self.gains is None:
            return x
        gains = torch.sigmoid(self.gains(x.mean(dim=(2, 3))))
        return x * gains[:, :, None, None].to(x.dtype)


class DilatedResidualNetwork(nn.Module):
    """Causal blocks of growing dilation; what they add is summed (section 3.3)."""

    def __init__(self, inputs: int, filters: int, c: PcnseSadrnCtcConfig) -> None:
        super().__init__()
        dilations = c.dilations * c.stacks
        self.blocks = nn.ModuleList(
            ResidualBlock(filters if i else inputs, filters, dilation, c.dropout)
            for i, dilation in enumerate(dilations)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, steps, inputs) -> (batch, steps, filters)."""
        x = x.transpose(1, 2)
        added = []
        for block in self.blocks:
            x, y = block(x)
            added.append(y)
        return torch.stack(added).sum(dim=0).transpose(1, 2)


class ResidualBlock(nn.Module):
    """Two causal convolutions of two taps beside a shortcut."""

    def __init__(self, inputs: int, filters: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.first = nn.Conv1d(inputs, filters, 2, dilation=dilation)
        self.second = nn.Conv1d(filters, filters, 2, dilation=dilation)
        self.shortcut = nn.Conv1d(inputs, filters, 1) if inputs != filters else nn.Identity()
        self.drop = nn.Dropout1d(dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, inputs, steps) -> for the next block and for the sum, (batch, filters, steps)."""
        y = x
        for conv in (self.first, self.second):
            y = self.drop(torch.relu(conv(F.pad(y, (self.dilation, 0)))))
        return torch.relu(self.shortcut(x) + y), y


class BiLSTM(nn.Module):
    """The paper's baseline for the dilated network: one LSTM per direction."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, steps, inputs) -> (batch, steps, 2 * hidden)."""
        # Without an explicit state the exporter would store one for the traced batch size.
        state = x.new_zeros(2, x.shape[0], self.lstm.hidden_size)
        h: Tensor = self.lstm(x, (state, state))[0]
        return h


def _initialise(module: nn.Module) -> None:
    """He weights in the trunk, Xavier elsewhere (a sum of blocks is large already), zero biases."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
    elif isinstance(module, nn.Conv1d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
