"""Confidence intervals by resampling what was scored: utterances, or whole speakers.

Everything works on tables of counts (seeds, units, labels, labels): for every seed, the confusion
matrix of every unit that is resampled. Seeds are averaged, not resampled: they are models, and an
interval says how much the metric depends on who and what was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgeser.model.artefact import Estimate
from edgeser_train.metrics import Doubles, Ints

Counts: TypeAlias = Doubles
Metric: TypeAlias = Callable[[npt.NDArray[np.number]], Doubles]
"""A metric of confusion matrices, (..., labels, labels) to (...)."""

RESAMPLES = 2000
FEWEST_SPEAKERS = 5
"""With fewer there are too few distinct resamples for an interval to mean anything."""
_AT_ONCE = 250


def tables(units: Sequence[str], targets: Ints, predicted: Ints, labels: int) -> Counts:
    """Counts (seeds, units, labels, labels), the units sorted by name.

    ``units`` (n,) names what each answer belongs to, ``targets`` (n,) its true label, ``predicted``
    (n, seeds) the predicted ones.
    """
    names, place = np.unique(np.asarray(units), return_inverse=True)
    counts = np.zeros((predicted.shape[1], len(names), labels, labels))
    for seed, row in enumerate(predicted.T):
        np.add.at(counts[seed], (place, targets, row), 1)
    return counts


def interval(metric: Metric, counts: Counts) -> Estimate:
    """The metric, averaged over seeds, and the 95 % percentile interval over the units."""
    values = _resampled(metric, counts)
    return _estimate(float(metric(counts.sum(axis=1)).mean()), values)


def difference(metric: Metric, first: Counts, second: Counts) -> Estimate:
    """Second minus first, both scored on the same units in the same order (paired).

    The seeds may differ in number.
    """
    values = _resampled(metric, second) - _resampled(metric, first)
    value = metric(second.sum(axis=1)).mean() - metric(first.sum(axis=1)).mean()
    return _estimate(float(value), values)


def _resampled(metric: Metric, counts: Counts) -> Doubles:
    """The metric of every resample (RESAMPLES,); equal numbers of units get equal draws."""
    seeds, units, labels, _ = counts.shape
    flat = counts.reshape(seeds, units, labels * labels)
    rng = np.random.default_rng(0)
    values = []
    for _ in range(RESAMPLES // _AT_ONCE):
        drawn = rng.multinomial(units, np.full(units, 1 / units), _AT_ONCE).astype(np.float64)
        matrices = (drawn @ flat).reshape(seeds, _AT_ONCE, labels, labels)
        values.append(metric(matrices).mean(axis=0))
    return np.concatenate(values)


def _estimate(value: float, values: Doubles) -> Estimate:
    low, high = np.quantile(values, (0.025, 0.975))
    return Estimate(value, float(low), float(high))
