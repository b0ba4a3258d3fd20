"""Connectionist temporal classification of one label per utterance: exact scores, best path."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from edgeser_train.models.speech_model import length_mask

_NEVER = -1e30


def class_log_probs(log_probs: Tensor, steps: Tensor, size: int | None = None) -> Tensor:
    """log P([k] | X) of every label, exactly: over all paths blank* k+ blank*.

    ``log_probs`` (batch, time, labels + 1), blank last; ``steps`` (batch,), the valid steps;
    -> (batch, labels) float32. ``size``: the longest time axis, for tracing.

    A stretch of time is a matrix over the states "before", "in" and "after" the label; stretches
    are joined pairwise, in log2(time) rounds of whole-tensor operators. Log-probabilities are only
    added, never subtracted, so that float32 loses no precision over hundreds of steps.
    """
    log_probs = log_probs.float()
    counts = length_mask(steps, log_probs.shape[1])[:, :, None]
    blank = log_probs[:, :, -1:].masked_fill(~counts, 0.0)
    label = log_probs[:, :, :-1]
    stay = label.masked_fill(~counts, 0.0)
    enter = label.masked_fill(~counts, _NEVER)
    leave = (log_probs[:, :, -1:] + torch.zeros_like(label)).masked_fill(~counts, _NEVER)
    stretch = _Stretch(blank, enter, torch.full_like(label, _NEVER), stay, leave)
    longest = log_probs.shape[1] if size is None else size
    for _ in range((longest - 1).bit_length()):
        stretch = stretch.halved()
    return _either(stretch.enter, stretch.cross)[:, 0]


class _Stretch(NamedTuple):
    """Log-weights of the paths through a stretch of time, each (batch, stretches, labels or 1)."""

    blank: Tensor
    """all blank: before the label throughout, or after it throughout"""
    enter: Tensor
    """blanks, then the label to the end"""
    cross: Tensor
    """blanks, the label, blanks"""
    stay: Tensor
    """the label throughout"""
    leave: Tensor
    """the label, then blanks to the end"""

    def halved(self) -> _Stretch:
        """Every two neighbours joined; an odd last one is kept as it is."""
        a = _Stretch(*(x[:, 0::2] for x in self))
        b = _Stretch(*(_every_second(x, x is self.blank or x is self.stay) for x in self))
        return _Stretch(
            a.blank + b.blank,
            _either(a.blank + b.enter, a.enter + b.stay),
            _either(_either(a.blank + b.cross, a.enter + b.leave), a.cross + b.blank),
            a.stay + b.stay,
            _either(a.stay + b.leave, a.leave + b.blank),
        )


def _every_second(x: Tensor, neutral: bool) -> Tensor:
    """Odd positions of (batch, n, m), with an identity stretch where the last one is missing."""
    extra = torch.full_like(x[:, :1], 0.0 if neutral else _NEVER)
    return torch.cat((x, extra), dim=1)[:, 1::2]


def _either(a: Tensor, b: Tensor) -> Tensor:
    """log(e^a + e^b)"""
    top = torch.maximum(a, b).detach()
    return top + torch.log(torch.exp(a - top) + torch.exp(b - top))
