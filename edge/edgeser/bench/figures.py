"""Figures of a benchmark: percentiles, conditions on them, and comparison with an older run."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from edgeser.errors import UserError

PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
_COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
_RESAMPLES = 1000


class Distribution(msgspec.Struct, frozen=True):
    """Values of one figure, in its unit, in the order in which they were seen."""

    values: list[float]

    def percentile(self, name: str) -> float:
        """``p50``, ``p95``, ``p99`` or ``max``."""
        return float(np.percentile(self.values, PERCENTILES[name]))

    def spread(self, name: str) -> tuple[float, float]:
        """95 % interval of a percentile, by the bootstrap."""
        rng = np.random.default_rng(0)
        return _interval(_resampled(self.values, PERCENTILES[name], rng))


def flat(
    distributions: Mapping[str, Distribution], singles: Mapping[str, float]
) -> dict[str, float]:
    """All figures by name: ``total_p99_ms``, also as ``p99_ms``, ``cpu_percent``, ..."""
    figures: dict[str, float] = {}
    for stage, distribution in distributions.items():
        for name in PERCENTILES:
            figures[f"{stage}_{name}_ms"] = distribution.percentile(name)
    for name in PERCENTILES:
        figures[f"{name}_ms"] = figures[f"total_{name}_ms"]
    return figures | dict(singles)


def violated(conditions: Sequence[str], figures: Mapping[str, float]) -> list[str]:
    """Conditions such as ``p99_ms>20`` that hold, each with the value. Raises UserError."""
    found = []
    for condition in conditions:
        match = re.fullmatch(r"\s*(\w+)\s*(>=|<=|>|<|==)\s*([-+.\deE]+)\s*", condition)
        try:
            if match is None:
                raise ValueError
            name, comparison, text = match.groups()
            limit = float(text)
        except ValueError:
            raise UserError(f"--fail-if '{condition}': expected e.g. 'p99_ms>20'") from None
        if name not in figures:
            raise UserError(f"--fail-if '{condition}': there are {', '.join(sorted(figures))}")
        if _COMPARISONS[comparison](figures[name], limit):
            found.append(f"{condition.strip()}: {name} is {figures[name]:.3g}")
    return found


def ratios(
    new: Mapping[str, Distribution], old: Mapping[str, Distribution], name: str
) -> dict[str, tuple[float, float, float]]:
    """New over old percentile for each stage in both, with its 95 % interval by the bootstrap."""
    found = {}
    for stage in new.keys() & old.keys():
        before = old[stage].percentile(name)
        if before <= 0:
            continue
        percentile = PERCENTILES[name]
        rng = np.random.default_rng(0)  # one generator: both runs are drawn independently
        numerators = _resampled(new[stage].values, percentile, rng)
        denominators = np.maximum(_resampled(old[stage].values, percentile, rng), 1e-9)
        found[stage] = (
            new[stage].percentile(name) / before,
            *_interval(numerators / denominators),
        )
    return found


def _resampled(values: Sequence[float], percentile: float, rng: np.random.Generator) -> np.ndarray:
    """A percentile of 1000 samples drawn with replacement, each as long as ``values``: (1000,).

    Only the two order statistics between which it lies are drawn. Ranks are uniform: of n uniform
    numbers, the one above k others has the beta distribution (k + 1, n - k), and the next one is
    the least of the n - k - 1 above it.
    """
    known = np.sort(np.asarray(values, float))
    count = len(known)
    place = percentile / 100 * (count - 1)
    below = min(int(place), max(0, count - 2))
    lower = rng.beta(below + 1, count - below, _RESAMPLES)
    upper = lower + (1 - lower) * rng.beta(1, max(1, count - below - 1), _RESAMPLES)
    low, high = (
        known[np.minimum((share * count).astype(int), count - 1)] for share in (lower, upper)
    )
    resampled: np.ndarray = low + (place - below) * (high - low)
    return resampled


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
