"""Conditions, ratios and their intervals, histograms."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from edgeser.bench.figures import Distribution, _resampled, ratios, violated
from edgeser.bench.show import histogram
from edgeser.errors import UserError


def test_conditions() -> None:
    figures = {"p99_ms": 12.0, "gaps": 0.0}
    assert violated(["p99_ms>20", "gaps>0"], figures) == []
    assert violated([" p99_ms >= 12 ", "gaps==0"], figures) == [
        "p99_ms >= 12: p99_ms is 12",
        "gaps==0: gaps is 0",
    ]
    with pytest.raises(UserError, match=r"expected e\.g\."):
        violated(["p99_ms>twenty"], figures)


def test_a_ratio_has_its_interval() -> None:
    slow = {"total": Distribution([20.0 + i % 5 for i in range(200)])}
    fast = {"total": Distribution([10.0 + i % 5 for i in range(200)])}
    ratio, low, high = ratios(fast, slow, "p50")["total"]
    assert low <= ratio <= high
    assert ratio == pytest.approx(12 / 22)
    assert ratios(fast, {}, "p50") == {}


def test_the_interval_of_a_ratio_knows_that_the_runs_are_independent() -> None:
    rng = np.random.default_rng(6)
    run = {"total": Distribution(rng.normal(100, 10, 400).tolist())}
    low, high = run["total"].spread("p50")
    ratio, least, most = ratios(run, run, "p50")["total"]
    assert ratio == 1
    # Two medians, as uncertain as each other: the square root of 2 of one's uncertainty.
    assert most - least == pytest.approx(np.sqrt(2) * (high - low) / 100, rel=0.15)


@pytest.mark.parametrize("count", [1, 2, 7, 400])
@pytest.mark.parametrize("percentile", [50.0, 99.0, 100.0])
def test_percentiles_are_resampled_as_a_bootstrap_does(count: int, percentile: float) -> None:
    rng = np.random.default_rng(3)
    values = rng.gamma(2, 10, count)
    drawn = np.percentile(rng.choice(values, (4000, count)), percentile, axis=1)
    found = _resampled(values.tolist(), percentile, rng)
    assert found.shape == (1000,)
    for quantile in (5, 25, 50, 75, 95):
        below = np.mean(drawn <= np.percentile(found, quantile) + 1e-9)
        strictly = np.mean(drawn < np.percentile(found, quantile) - 1e-9)
        assert strictly - 0.06 <= quantile / 100 <= below + 0.06


def test_a_long_run_is_resampled_in_little_memory() -> None:
    long = Distribution([float(i % 97) for i in range(50_000)])
    tracemalloc.start()
    low, high = long.spread("p50")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert low <= 48 <= high
    assert most < 20e6


def test_a_histogram_shows_its_tail() -> None:
    bars = histogram(Distribution([1.0] * 1000 + [60.0]))
    assert len(bars) == 60
    assert bars[-1] != " "
