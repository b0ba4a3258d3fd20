"""Figures of merit: accuracy, recall, F1, calibration error, and a test of a difference."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


def confusion(targets: Ints, predictions: Ints, labels: int) -> Ints:
    """Counts (labels, labels): rows are true labels, columns predicted ones."""
    return np.bincount(targets * labels + predictions, minlength=labels**2).reshape(labels, labels)


def wa(counts: npt.NDArray[np.number]) -> float:
    """Weighted accuracy: the share of correct predictions."""
    return float(was(counts))


def ua(counts: npt.NDArray[np.number]) -> float:
    """Unweighted accuracy: the mean recall of the classes that have examples."""
    return float(uas(counts))


def f1(counts: npt.NDArray[np.number]) -> float:
    """Macro F1 over the classes that have examples or predictions."""
    return float(f1s(counts))


def was(counts: npt.NDArray[np.number]) -> Doubles:
    """``wa`` of many confusion matrices (..., labels, labels) at once, (...)."""
    return _ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def uas(counts: npt.NDArray[np.number]) -> Doubles:
    """``ua`` of many confusion matrices (..., labels, labels) at once, (...)."""
    return _ratio(recalls(counts).sum(axis=-1), (counts.sum(axis=-1) > 0).sum(axis=-1))


def f1s(counts: npt.NDArray[np.number]) -> Doubles:
    """``f1`` of many confusion matrices (..., labels, labels) at once, (...)."""
    both = counts.sum(axis=-1) + counts.sum(axis=-2)
    return _ratio(_ratio(2 * _diagonal(counts), both).sum(axis=-1), (both > 0).sum(axis=-1))


def recalls(counts: npt.NDArray[np.number]) -> Doubles:
    """Recall of each class (..., labels); 0 where a class has no example."""
    return _ratio(_diagonal(counts), counts.sum(axis=-1))


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


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value of McNemar's test that two classifiers are equally good.

    ``only_first`` utterances are classified correctly by the first alone, ``only_second`` by the
    second alone (binomial test with probability 1/2).
    """
    n, few = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(few + 1))
    return min(1.0, float(2 * tail / 2**n))


def _diagonal(counts: npt.NDArray[np.number]) -> npt.NDArray[np.number]:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def _ratio(above: npt.NDArray[np.number], below: npt.NDArray[np.number]) -> Doubles:
    """Their quotient, 0 where ``below`` is 0."""
    return np.asarray(above / np.maximum(below, 1), np.float64)
