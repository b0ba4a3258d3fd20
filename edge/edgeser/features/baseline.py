"""What is usual for a voice: a mean over its speech, against which a window is judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeser.features.filters import Floats


@dataclass(frozen=True, eq=False, slots=True)
class Baseline:
    """A mean over a voice's speech, and how much speech that was.

    ``mean``: float32; of how it sounds, raw frames (bins,) in dB; of what a model says of it,
    logits (labels,). ``frames``: those of speech that it is the mean of, at least 0; with 0 the
    mean says nothing.
    """

    mean: Floats
    frames: int

    def with_more(self, other: Baseline, most: int) -> Baseline:
        """The two together, where speech of ``other`` was heard later.

        Of more than ``most`` frames the earlier ones count less, so that what was heard long ago
        is forgotten. Deterministic: float64 inside, float32 outside.
        """
        later = min(other.frames, most)
        earlier = min(self.frames, most - later)
        if not earlier + later:
            return self
        share = later / (earlier + later)
        mean = self.mean.astype(np.float64) * (1 - share) + other.mean.astype(np.float64) * share
        return Baseline(mean.astype(np.float32), earlier + later)

    def weight(self, own_frames: int) -> float:
        """Its share in the mean that a window is judged against, in [0, 1)."""
        return self.frames / (self.frames + own_frames)


def no_baseline(bins: int) -> Baseline:
    """Of a voice that was never heard."""
    return Baseline(np.zeros(bins, np.float32), 0)


def speech_frames(frames: Floats) -> Floats:
    """Those of (n, bins) that are at least as loud as the average frame: (m, bins), m >= 1."""
    levels = frames.mean(axis=1)
    loud: Floats = frames[levels >= levels.mean() - np.float32(1e-3)]
    return loud
