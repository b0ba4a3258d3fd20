"""The baseline of a voice: a mean over its speech, relative to which a window is classified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeser.features.filters import Floats

_MOST = 1e4
"""Far beyond any level in dB and any logit, yet so small that no sum overflows."""


@dataclass(frozen=True, eq=False, slots=True)
class Baseline:
    """A mean over a voice's speech, and how much speech that was.

    ``mean``: float32; of its raw frames, (bins,) in dB, or of a model's logits for it, (labels,).
    ``frames``: frames of speech in the mean, at least 0; with 0 the mean has no meaning.
    """

    mean: Floats
    frames: int

    def updated(self, other: Baseline, max_frames: int) -> Baseline:
        """The mean of both, where the speech of ``other`` was heard later.

        Beyond ``max_frames`` frames the earlier ones count less, so that old speech is forgotten.
        Deterministic: float64 inside, float32 outside.
        """
        later = min(other.frames, max_frames)
        earlier = min(self.frames, max_frames - later)
        if not earlier + later:
            return self
        share = later / (earlier + later)
        mean = self.mean.astype(np.float64) * (1 - share) + other.mean.astype(np.float64) * share
        return Baseline(mean.astype(np.float32), earlier + later)

    def weight(self, own_frames: int) -> float:
        """Its share in the mean that is subtracted from a window, in [0, 1)."""
        return self.frames / (self.frames + own_frames)


def is_possible(mean: Sequence[float]) -> bool:
    """Whether speech can have such a mean: all values are numbers, and none is absurdly large."""
    return all(abs(value) <= _MOST for value in mean)


def no_baseline(bins: int) -> Baseline:
    """The baseline of a voice that was never heard."""
    return Baseline(np.zeros(bins, np.float32), 0)


def of_others(baselines: Sequence[Baseline], max_frames: int) -> list[Baseline]:
    """For each baseline of a voice the mean of all others, or ``no_baseline`` if they are empty.

    All frames of speech have equal weight, whatever the order; the mean counts as ``max_frames``
    frames at most. Float64 inside, float32 outside.
    """
    frames = np.array([baseline.frames for baseline in baselines], np.int64)
    sums = np.array([b.mean.astype(np.float64) * b.frames for b in baselines])
    others = frames.sum() - frames
    means = ((sums.sum(axis=0) - sums) / np.maximum(1, others)[:, None]).astype(np.float32)
    return [
        Baseline(mean, min(count, max_frames)) if count else no_baseline(len(mean))
        for mean, count in zip(means, others.tolist(), strict=True)
    ]


def speech_frames(frames: Floats) -> Floats:
    """The frames of (n, bins) that are at least as loud as the average frame: (m, bins), m >= 1."""
    levels = frames.mean(axis=1)
    loud: Floats = frames[levels >= levels.mean() - np.float32(1e-3)]
    return loud
