"""What a training step gets: one batch of crops."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Crops of utterances and what is known about each of them.

    ``targets`` are soft: a row sums to one, and is one-hot unless crops were mixed; a row of zeros
    is not in the loss, and serves only to centre others of its voice. ``level`` is the difficulty
    (0 easy, 1, 2 hard; 0 where nobody voted). ``valence`` and ``arousal`` are nan where unknown.
    ``teacher`` holds the logits to distil from, or None.
    """

    features: Tensor
    """(batch, frames, width) float32"""
    frames: Tensor
    """(batch,) int64, the number of frames without padding"""
    targets: Tensor
    """(batch, labels) float32"""
    level: Tensor
    """(batch,) int64"""
    valence: Tensor
    """(batch,) float32"""
    arousal: Tensor
    """(batch,) float32"""
    teacher: Tensor | None = None
    """(batch, labels) float32"""
    class_mask: Tensor | None = None
    """(batch, labels) bool, True for the classes of a row's corpus; None if every corpus has all"""
    centring_weights: Tensor | None = None
    """(batch, batch) float32: row i holds the weights, of sum below one, with which the logits of
    known utterances are summed to centre row i. None where logits are not centred by voice"""

    @staticmethod
    def of(features: Tensor, frames: Tensor, targets: Tensor) -> Batch:
        """A batch of which only the labels are known."""
        unknown = torch.full((len(frames),), float("nan"), device=features.device)
        easy = torch.zeros(len(frames), dtype=torch.int64, device=features.device)
        return Batch(features, frames, targets, easy, unknown, unknown)
