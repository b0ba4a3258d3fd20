"""Figures of merit: accuracy, recall, F1, their intervals, and calibration error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from edgeser.model.artefact import Estimate

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

RESAMPLES = 2000


def confusion(targets: Ints, predictions: Ints, labels: int) -> Ints:
    """Counts (labels, labels): rows are true labels, columns predicted ones."""
    return np.bincount(targets * labels + predictions, minlength=labels**2).reshape(labels, labels)


def wa(counts: Ints) -> float:
    """Weighted accuracy: the share of right predictions."""
    return float(np.trace(counts) / counts.sum())


def ua(counts: Ints) -> float:
    """Unweighted accuracy: the mean recall of the classes that have examples."""
    return float(recalls(counts)[counts.sum(axis=1) > 0].mean())


def f1(counts: Ints) -> float:
    """Macro F1 over the classes that have examples or predictions."""
    truth, predicted = counts.sum(axis=1), counts.sum(axis=0)
    present = truth + predicted > 0
    return float((2 * np.diag(counts)[present] / (truth + predicted)[present]).mean())


def recalls(counts: Ints) -> Doubles:
    """Recall of each class; 0 where a class has no example."""
    truth = counts.sum(axis=1)
    return np.asarray(np.diag(counts) / np.maximum(truth, 1), np.float64)


def estimate(
    figure: Callable[[Ints], float], targets: Ints, predictions: Ints, labels: int
) -> Estimate:
    """A figure over all utterances, with the 95 % percentile interval of a bootstrap over them."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(targets), (RESAMPLES, len(targets)))
    values = [figure(confusion(targets[d], predictions[d], labels)) for d in draws]
    low, high = np.quantile(values, (0.025, 0.975))
    return Estimate(figure(confusion(targets, predictions, labels)), float(low), float(high))


def softmax(logits: npt.NDArray[np.floating]) -> Doubles:
    """Over the last axis, in double precision."""
    z = logits.astype(np.float64)
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float64)


def ece(scores: Doubles, targets: Ints, bins: int = 15) -> float:
    """Expected calibration error of the winning class (Guo et al. 2017, section 2), L1."""
    confidence = scores.max(axis=1)
    right = scores.argmax(axis=1) == targets
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = [
        abs(right[place == b].mean() - confidence[place == b].mean()) * (place == b).mean()
        for b in np.unique(place)
    ]
    return float(sum(gaps))
