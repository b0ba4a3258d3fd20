"""The first layers of Moonshine's encoder, their weighted mean over time, and one linear layer.

An encoder trained to transcribe thousands of speakers (Jeffries et al. 2024) knows voices, rooms
and languages that no emotion corpus has. How something is said is in its first layers; the later
ones keep only what is said. All weights are used as eight-bit integers. The convolutions and the
first layers are fixed; the last ``learnt`` layers are trained, and rounded in every pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from torch import Tensor, nn

from edgeser_train.models.config import ModelConfig
from edgeser_train.models.layers import MeanPooling, WeightedPooling
from edgeser_train.models.moonshine_encoder import MoonshineEncoder
from edgeser_train.models.moonshine_weights import not_tiny, pretrained_weights
from edgeser_train.models.speech_model import SpeechModel, length_mask

if TYPE_CHECKING:
    from edgeser_train.corpora import Utterance

HOP = 320
"""Samples of a frame: 20 ms. A step of the encoder is 384 samples, 24 ms."""

_LEVEL = 0.07
"""Gain for samples of unit variance: about the level of the speech the encoder was trained on."""


class MoonshineConfig(
    msgspec.Struct,
    ModelConfig,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="name",
    tag="moonshine",
):
    """The architecture as data; the defaults are the first layers of Moonshine Tiny.

    ``pretrained``: the file ``encoder_model.ort`` of a package ``moonshine-voice``, or that name
    for the installed one; null for random weights. ``layers``: how many of the transformer's six
    are used, the last of them without its feed-forward layer. ``learnt``: how many of these, from
    the last, are trained. ``rank``: how many singular values of the second convolution are kept.
    ``rotary``: how many dimensions of a head have rotary position embeddings. ``attention``:
    whether the mean over time is weighted by a learnt score of each step, or plain.
    """

    labels: int = 4
    pretrained: str | None = "moonshine-voice"
    layers: int = 3
    learnt: int = 0
    hidden: int = 288
    rank: int = 320
    heads: int = 8
    feed_forward: int = 1152
    rotary: int = 32
    attention: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        sizes = (self.layers, self.hidden, self.rank, self.heads, self.feed_forward, self.rotary)
        if min(sizes) < 1 or self.labels < 2 or not 0 <= self.dropout < 1:
            raise ValueError("moonshine: need sizes >= 1, labels >= 2 and dropout in [0, 1)")
        if not 0 <= self.learnt <= self.layers:
            raise ValueError(f"moonshine: learnt must be in [0, {self.layers}]")
        if self.hidden % self.heads or self.rotary % 2 or self.rotary > self.hidden // self.heads:
            raise ValueError("moonshine: heads must divide hidden, rotary be even and fit a head")
        theirs = (self.hidden, self.heads, self.feed_forward, self.rotary) == (288, 8, 1152, 32)
        if self.pretrained is not None and not (theirs and self.layers <= 6 and self.rank <= 576):
            raise ValueError(
                "moonshine: Moonshine Tiny has at most 6 layers and rank 576, hidden 288, heads 8, "
                "feed_forward 1152, rotary 32; for other sizes set pretrained to null"
            )

    @property
    def width(self) -> int:
        """Features per frame: its samples and whether they are speech."""
        return HOP + 1


class Moonshine(SpeechModel):
    """Normalised samples to logits. The front end has normalised them: no ``mean``, no ``std``."""

    config_type = MoonshineConfig
    min_frames = 3
    attribution = (
        "The encoder began as the first layers of Moonshine Tiny (Jeffries et al. 2024), "
        "copyright 2025 Moonshine AI, MIT licence, and is rounded to eight bits."
    )

    def __init__(self, config: MoonshineConfig) -> None:
        """Random weights."""
        super().__init__(config.width)
        self.config = config
        self.encoder = MoonshineEncoder(config)
        self.norm = nn.LayerNorm(config.hidden, elementwise_affine=False)
        self.pooling = WeightedPooling(config.hidden) if config.attention else MeanPooling()
        self.drop = nn.Dropout(config.dropout)
        self.classify = nn.Linear(config.hidden, config.labels)

    def prepare(self, utterances: Sequence[Utterance]) -> None:
        """Load the pretrained weights. Raises UserError where that is not possible."""
        if self.config.pretrained is not None:
            weights = pretrained_weights(
                self.config.pretrained, self.config.layers, self.config.rank
            )
            try:
                self.encoder.take(weights)
            except (RuntimeError, KeyError) as error:
                raise not_tiny(self.config.pretrained) from error

    def count_weights(self) -> int:
        frozen = sum(buffer.numel() for buffer in self.encoder.buffers())
        return super().count_weights() + frozen

    def pretrained(self) -> list[nn.Parameter]:
        return list(self.encoder.parameters()) if self.config.pretrained else []

    def forward(self, features: Tensor, frames: Tensor) -> Tensor:
        """(batch, frames, 321) float32 and (batch,) int64 -> logits (batch, labels)."""
        outside = ~length_mask(frames, features.shape[1])
        samples = features[:, :, :HOP].masked_fill(outside[:, :, None], 0.0)
        h, steps = self.encoder(_LEVEL * samples.flatten(1), frames)
        pooled = self.pooling(self.norm(h), length_mask(steps, h.shape[1]))
        return self.beside_noise(self.classify(self.drop(pooled)), pooled)
