"""A network that hears every frame once: its state in a segment is passed from step to step.

Ours, of the lightweight family (Zhong et al. 2020): separable convolutions, a GRU, attention. All
of it is causal, so that a step never changes once it was computed, and the state is one vector per
segment. docs/training.md has the equations.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import msgspec
import torch
from torch import Tensor, nn

from edgeser_train.data.front_ends import STREAM
from edgeser_train.models.config import ModelConfig
from edgeser_train.models.layers import xavier
from edgeser_train.models.speech_model import SpeechModel, length_mask

_STRIDE = 5
"""Frames of 20 ms in a step: it divides half a second, the shortest hop of usual settings."""


class StreamingConfig(
    msgspec.Struct,
    ModelConfig,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="name",
    tag="streaming",
):
    """The architecture as data.

    ``entry_channels`` at full rate, ``channels`` after the stride, in ``blocks`` that each widen
    them ``expansion`` times inside. ``dropout`` acts in training only, before the GRU and before
    the votes.
    """

    labels: int = 4
    mels: int = 64
    entry_channels: int = 24
    channels: int = 32
    blocks: int = 3
    expansion: int = 2
    hidden: int = 128
    head: int = 64
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.labels < 2 or self.blocks < 0 or self.mels < 8:
            raise ValueError(
                f"streaming: need labels >= 2, blocks >= 0, mels >= 8, got {self.labels}, "
                f"{self.blocks}, {self.mels}"
            )
        if min(self.entry_channels, self.channels, self.expansion, self.hidden, self.head) < 1:
            raise ValueError("streaming: sizes must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"streaming: dropout {self.dropout} is outside [0, 1)")

    @property
    def width(self) -> int:
        """Features per frame."""
        return self.mels


class Votes(NamedTuple):
    """Every step's logits, and their weight.

    ``votes``: (batch, steps, logits). ``weights``: (batch, steps), above 0. The logits of any span
    of steps are the weighted mean of their votes. ``state``: (batch, state_size), after the last.
    """

    votes: Tensor
    weights: Tensor
    state: Tensor


class StreamModel(SpeechModel):
    """A network that takes frames step by step, and averages the votes of a window to its logits.

    ``stride``: frames in a step. ``state_size``: numbers in the state of a segment.
    """

    stride: ClassVar[int] = _STRIDE
    min_frames = _STRIDE
    front_end = STREAM
    labels: int

    @property
    @abstractmethod
    def state_size(self) -> int: ...

    @abstractmethod
    def stream(self, features: Tensor, state: Tensor) -> Votes:
        """Process the next frames of every row, a multiple of ``stride``, from its state on.

        (batch, frames, width), (batch, state_size) -> ``Votes`` of frames / stride steps.
        """

    def first_state(self, batch: int) -> Tensor:
        """The state before a segment's first frame: (batch, state_size), zeros."""
        return self.mean.new_zeros(batch, self.state_size)

    def forward(self, features: Tensor, frames: Tensor) -> Tensor:
        """(batch, frames, width) float32 and (batch,) int64 -> logits (batch, labels).

        Frames after the last complete step are ignored.
        """
        steps = torch.div(frames, self.stride, rounding_mode="floor")
        outside = ~length_mask(frames, features.shape[1])
        features = torch.where(outside[:, :, None], self.mean, features)
        features = features[:, : features.shape[1] // self.stride * self.stride]
        votes, weights, _ = self.stream(features, self.first_state(features.shape[0]))
        counted = weights * length_mask(steps, weights.shape[1]).to(weights.dtype)
        counted = counted / counted.sum(dim=1, keepdim=True)
        return (counted[:, :, None] * votes).sum(dim=1)


class Streaming(StreamModel):
    """Log-mel features to votes, as docs/training.md describes."""

    config_type = StreamingConfig

    def __init__(self, config: StreamingConfig) -> None:
        super().__init__(config.width)
        self.config = c = config
        self.labels = c.labels
        self.entry = CausalConv(1, c.entry_channels, time=3, down=(1, 2), bands=c.mels)
        self.first = Separable(c.entry_channels, c.channels, self.entry.bands_out)
        self.strided = CausalConv(
            c.channels,
            c.channels,
            time=_STRIDE + 2,
            down=(_STRIDE, 2),
            bands=self.entry.bands_out,
            depthwise=True,
        )
        bands = self.strided.bands_out
        self.mixed = nn.Conv2d(c.channels, c.channels, 1)
        self.blocks = nn.ModuleList(
            Residual(c.channels, c.expansion, bands) for _ in range(c.blocks)
        )
        self.drop = nn.Dropout(c.dropout)
        self.gru = nn.GRU(bands * c.channels, c.hidden, batch_first=True)
        self.head = nn.Sequential(
            nn.Linear(c.hidden, c.head), nn.PReLU(), nn.Linear(c.head, c.labels)
        )
        self.attention = nn.Linear(c.hidden, 1)
        self.scale = nn.Parameter(torch.ones(1))
        self.apply(xavier)

    @property
    def state_size(self) -> int:
        """As ``StreamModel`` has it."""
        return sum(conv.kept for conv in self._convolutions) + self.config.hidden

    def stream(self, features: Tensor, state: Tensor) -> Votes:
        """As ``StreamModel`` has it."""
        states = torch.split(
            state, [conv.kept for conv in self._convolutions] + [self.config.hidden], dim=1
        )
        left = []
        x = ((features - self.mean) / self.std)[:, None]
        x, kept = self.entry(x, states[0])
        left.append(kept)
        x, kept = self.first(x.relu(), states[1])
        left.append(kept)
        x, kept = self.strided(x.relu(), states[2])
        left.append(kept)
        x = self.mixed(x).relu()
        for block, before in zip(self.blocks, states[3:-1], strict=True):
            x, kept = block(x, before)
            left.append(kept)
        x = self.drop(x.permute(0, 2, 3, 1).flatten(2))
        h, last = self.gru(x, states[-1][None])
        left.append(last[0])
        votes = self.beside_noise(self.head(self.drop(h)), h)
        scores = self.scale * torch.sigmoid(self.attention(h).squeeze(2).float())
        return Votes(
            votes, torch.exp(scores), torch.cat([part.to(state.dtype) for part in left], 1)
        )

    @property
    def _convolutions(self) -> list[CausalConv]:
        return [layer for layer in self.modules() if isinstance(layer, CausalConv)]


class CausalConv(nn.Module):
    """A convolution over time and bands whose last tap is the newest frame.

    Before a segment's first frame come zeros; later, the last ``time - down[0]`` frames so far,
    which are its state. Bands are padded on both sides.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        time: int,
        down: tuple[int, int] = (1, 1),
        bands: int,
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in,
            channels_out,
            (time, 3),
            stride=down,
            padding=(0, 1),
            groups=channels_in if depthwise else 1,
        )
        self.shape = channels_in, time - down[0], bands
        self.bands_out = (bands - 1) // down[1] + 1

    @property
    def kept(self) -> int:
        """How many numbers its state has."""
        channels, frames, bands = self.shape
        return channels * frames * bands

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channels, time, bands), state (batch, kept) -> output of that kind, new state."""
        x = torch.cat((before.to(x.dtype).reshape(-1, *self.shape), x), dim=2)
        kept = x[:, :, -self.shape[1] :]
        return self.conv(x), kept.flatten(1)


class Separable(nn.Module):
    """Depthwise 3x3, then 1x1."""

    def __init__(self, channels_in: int, channels_out: int, bands: int) -> None:
        super().__init__()
        self.depthwise = CausalConv(channels_in, channels_in, time=3, bands=bands, depthwise=True)
        self.project = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """As ``CausalConv``."""
        x, kept = self.depthwise(x, before)
        return self.project(x.relu()), kept


class Residual(nn.Module):
    """Depthwise 3x3, 1x1 expansion, 1x1 projection, added to the input.

    The convolution over time comes first, where channels are few, so that its state is small.
    """

    def __init__(self, channels: int, expansion: int, bands: int) -> None:
        super().__init__()
        self.depthwise = CausalConv(channels, channels, time=3, bands=bands, depthwise=True)
        self.expand = nn.Conv2d(channels, channels * expansion, 1)
        self.project = nn.Conv2d(channels * expansion, channels, 1)

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """As ``CausalConv``."""
        y, kept = self.depthwise(x, before)
        return x + self.project(self.expand(y).relu()), kept
