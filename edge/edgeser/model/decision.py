"""From logits to a label: calibration, abstention and a smoothed state."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from edgeser.events.schema import UNKNOWN, Smoothed
from edgeser.features.front_end import Floats

_Real = TypeVar("_Real", bound=np.floating)


def calibrated(logits: Floats, temperature: float) -> Floats:
    """Softmax of logits / temperature over the last axis (Guo et al. 2017)."""
    return softmax(logits / np.float32(temperature))


def softmax(logits: npt.NDArray[_Real]) -> npt.NDArray[_Real]:
    """Over the last axis, in the precision of the logits."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: npt.NDArray[_Real] = powers / powers.sum(axis=-1, keepdims=True)
    return scores


def probability(log_odds: float) -> float:
    """The logistic function."""
    return 0.5 * (1 + math.tanh(log_odds / 2))


def top_label(scores: npt.NDArray[np.floating], labels: list[str], abstain_below: float) -> str:
    """The most probable label, or ``unknown`` if its probability is below the threshold."""
    best = int(np.argmax(scores))
    return labels[best] if scores[best] >= abstain_below else UNKNOWN


class Smoother:
    """A stream's state: an exponential mean of scores, with hysteresis by a margin.

    It starts as ``unknown``. A window moves the mean by ``weight``; the state changes when another
    label's mean leads its own by ``margin``, so single windows do not make it flicker.
    """

    def __init__(self, labels: list[str], weight: float, margin: float) -> None:
        self.state = Smoothed(UNKNOWN, 0.0)
        self.labels = labels
        self.tune(weight, margin)
        self._mean = np.full(len(labels), 1 / len(labels), np.float32)

    def tune(self, weight: float, margin: float) -> None:
        """Change weight and margin; the mean and the state stay."""
        self._weight = np.float32(weight)
        self._margin = margin

    def update(self, scores: Floats, end_s: float) -> Smoothed:
        """Take the scores (labels,) of a window that ends at ``end_s``; return the state."""
        self._mean += self._weight * (scores - self._mean)
        best = int(np.argmax(self._mean))
        held = (
            1 / len(self.labels)
            if self.state.label == UNKNOWN
            else float(self._mean[self.labels.index(self.state.label)])
        )
        if self.labels[best] != self.state.label and self._mean[best] - held > self._margin:
            self.state = Smoothed(self.labels[best], end_s)
        return self.state
