"""The interface of every model: features in, logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from edgeser.features import FrontEnd, WindowPolicy
from edgeser_train.models.config import ModelConfig

if TYPE_CHECKING:
    from edgeser_train.corpora import Utterance


class SpeechModel(nn.Module, ABC):
    """A network over a window of features.

    The statistics of the training features (``mean``, ``std``, one value per feature) are buffers:
    a checkpoint and an exported graph carry them.

    ``config_type``: the class of its configuration; ``min_frames``: the shortest window that the
    network accepts; ``front_end`` and ``window``: what it hears, unless a recipe says otherwise;
    ``attribution``: credit for the pretrained weights that it starts from.
    """

    config_type: ClassVar[type[ModelConfig]]
    min_frames: ClassVar[int] = 1
    front_end: ClassVar[FrontEnd] = FrontEnd(normalise="speech")
    window: ClassVar[WindowPolicy] = WindowPolicy()
    attribution: ClassVar[str] = ""

    mean: Tensor
    std: Tensor
    prior: Tensor
    noise: nn.Module | None
    """From the vector before the last layer to one more logit, noise; None during training."""

    def __init__(self, width: int) -> None:
        """``width``: features per frame. A subclass takes its configuration alone."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))
        self.register_parameter("prior", None)
        self.noise = None

    @abstractmethod
    def forward(self, features: Tensor, frames: Tensor) -> Tensor:
        """(batch, frames, width) float32 and (batch,) int64 -> logits (batch, labels).

        What ``features`` holds after an utterance's last frame never matters.
        """

    def prepare(self, utterances: Sequence[Utterance]) -> None:
        """Prepare for training on these utterances; most models do nothing."""

    def pretrained(self) -> list[nn.Parameter]:
        """Parameters trained elsewhere and trained further here; most models have none."""
        return []

    def count_weights(self) -> int:
        """The number of weights, trained or fixed, without the feature statistics."""
        return sum(parameter.numel() for parameter in self.parameters())

    def centre(self, labels: int) -> None:
        """Add the trainable ``prior``: the logits of a voice in its everyday mood."""
        self.prior = nn.Parameter(torch.zeros(labels))

    def centred(self, logits: Tensor, weights: Tensor) -> Tensor:
        """Logits (batch, labels) centred by voice; ``weights``: as ``Batch.centring_weights``."""
        return logits - weights @ logits + weights.sum(dim=1, keepdim=True) * self.prior

    def beside_noise(self, logits: Tensor, vector: Tensor) -> Tensor:
        """Logits (..., labels) of a last layer over a vector (..., size) -> the same, with the
        logit of ``noise`` for that vector appended if there is one. A model that is to learn what
        noise is must return its logits through this.
        """
        return logits if self.noise is None else torch.cat((logits, self.noise(vector)), dim=-1)

    def standardised(self, features: Tensor, frames: Tensor) -> Tensor:
        """Features of mean 0, deviation 1 over the training part; zeros after the last frame.

        (batch, frames, width), (batch,) -> (batch, frames, width).
        """
        outside = ~length_mask(frames, features.shape[1])
        z: Tensor = ((features - self.mean) / self.std).masked_fill(outside[:, :, None], 0.0)
        return z


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """(batch,) lengths -> (batch, size) bool, true where a position is inside its length."""
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]
