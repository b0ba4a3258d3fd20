"""Global and segmental average pooling over WavLM (Hyeon, Oh, Choi)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec
import torch
from torch import Tensor, nn

from edgeser.errors import UserError
from edgeser_train.models.config import ModelConfig
from edgeser_train.models.layers import SelfAttention, masked_mean
from edgeser_train.models.speech_model import SpeechModel, length_mask
from edgeser_train.models.wavlm import WavlmEncoder

if TYPE_CHECKING:
    from edgeser_train.corpora import Utterance

HOP = 320
"""Samples of a frame: WavLM's step and a size that WebRTC's VAD accepts, 20 ms."""


class WavlmSapConfig(
    msgspec.Struct,
    ModelConfig,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="name",
    tag="wavlm-sap",
):
    """The architecture as data; the defaults are the paper's over WavLM-Large.

    ``pretrained`` names the encoder's initial weights, a folder or a name on the Hugging Face hub;
    null starts from random ones. They are fetched for training only (``load_pretrained``). WavLM
    Base is hidden 768, layers 12, encoder_heads 12, feed_forward 3072, norm "group". ``frozen`` is
    the part that is not trained. ``pooling`` "both" is the paper's SR model, "gap" its baseline.
    ``dropout`` acts within the encoder, in training.
    """

    labels: int = 4
    pretrained: str | None = "microsoft/wavlm-large"
    hidden: int = 1024
    layers: int = 24
    encoder_heads: int = 16
    feed_forward: int = 4096
    conv_channels: int = 512
    norm: Literal["layer", "group"] = "layer"
    frozen: Literal["none", "convolutions", "encoder"] = "convolutions"
    dropout: float = 0.1
    pooling: Literal["gap", "sap", "both"] = "both"
    heads: int = 16
    head: int = 32
    multi_task: bool = True

    def __post_init__(self) -> None:
        widths = (self.hidden, self.feed_forward, self.conv_channels, self.head)
        if min(*widths, self.layers, self.heads, self.encoder_heads) < 1:
            raise ValueError("wavlm-sap: sizes must be at least 1")
        if self.labels < 2 or self.hidden % 16:
            raise ValueError("wavlm-sap: need labels >= 2 and hidden a multiple of 16")
        if self.hidden % self.heads or self.hidden % self.encoder_heads:
            raise ValueError(f"wavlm-sap: heads must divide hidden {self.hidden}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"wavlm-sap: dropout {self.dropout} is outside [0, 1)")

    @property
    def width(self) -> int:
        """Features per frame: its samples and whether they are speech."""
        return HOP + 1


class WavlmSap(SpeechModel):
    """Normalised samples with speech flags to logits, valence and arousal.

    The front end has normalised the samples: ``mean`` and ``std`` are not used.
    """

    config_type = WavlmSapConfig
    min_frames = 2

    def __init__(self, config: WavlmSapConfig) -> None:
        """Random weights. Raises UserError without the transformers library."""
        super().__init__(config.width)
        self.config = config
        c = config
        self.encoder = WavlmEncoder(config)
        self.attention = SelfAttention(c.hidden, c.heads) if c.pooling != "gap" else None
        self.project = nn.Linear(c.hidden * (2 if c.pooling == "both" else 1), c.head)
        self.classify = nn.Linear(c.head, c.labels)
        self.valence = nn.Linear(c.head, 1) if c.multi_task else None
        self.arousal = nn.Linear(c.head, 1) if c.multi_task else None
        for part in self._frozen():
            part.requires_grad_(False)

    def prepare(self, utterances: Sequence[Utterance]) -> None:
        """Load pretrained weights, and start the estimates from the training part's means.

        Raises UserError.
        """
        self.load_pretrained()
        valences = [u.valence for u in utterances if u.valence is not None]
        arousals = [u.arousal for u in utterances if u.arousal is not None]
        if valences and arousals:
            self.expect(sum(valences) / len(valences), sum(arousals) / len(arousals))

    def pretrained(self) -> list[nn.Parameter]:
        trained = (p for p in self.encoder.parameters() if p.requires_grad)
        return list(trained) if self.config.pretrained else []

    def load_pretrained(self) -> None:
        """Load the encoder that the configuration names.

        Raises UserError where that is not possible, or it has another architecture.
        """
        if self.config.pretrained is not None:
            self.encoder.load(self.config.pretrained)

    def expect(self, valence: float, arousal: float) -> None:
        """Start the estimates from these means of the training part."""
        for layer, mean in ((self.valence, valence), (self.arousal, arousal)):
            if layer is not None:
                nn.init.constant_(layer.bias, mean)

    def forward(self, features: Tensor, frames: Tensor) -> Tensor:
        """(batch, frames, 321) float32 and (batch,) int64 -> logits (batch, labels)."""
        logits: Tensor = self.classify(self.represented(features, frames))
        return logits

    def estimates(self, features: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (batch, labels), valence and arousal (batch,), on the scale of the labels.

        Raises UserError for a model without ``multi_task``.
        """
        if self.valence is None or self.arousal is None:
            raise UserError("wavlm-sap: only a model with multi_task estimates valence and arousal")
        h = self.represented(features, frames)
        return self.classify(h), self.valence(h)[:, 0], self.arousal(h)[:, 0]

    def represented(self, features: Tensor, frames: Tensor) -> Tensor:
        """The utterance as one vector: (batch, head)."""
        outside = ~length_mask(frames, features.shape[1])
        samples = features[:, :, :HOP].masked_fill(outside[:, :, None], 0.0)
        h, steps = self.encoder(samples.flatten(1), frames)
        counts = length_mask(steps, h.shape[1])
        pooled = [masked_mean(h, counts[:, :, None], dim=1)] if self.config.pooling != "sap" else []
        if self.attention is not None:
            speech = counts & (features[:, : h.shape[1], HOP] > 0.5)
            # A window without speech is pooled whole.
            speech = speech | (counts & ~speech.any(dim=1, keepdim=True))
            pooled.append(masked_mean(self.attention(h, speech), speech[:, :, None], dim=1))
        represented: Tensor = self.project(torch.cat(pooled, dim=1))
        return represented

    def train(self, mode: bool = True) -> WavlmSap:
        """Frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen():
            part.eval()
        return self

    def _frozen(self) -> list[nn.Module]:
        if self.config.frozen == "none":
            return []
        whole = self.config.frozen == "encoder"
        return [self.encoder if whole else self.encoder.backbone.feature_extractor]
