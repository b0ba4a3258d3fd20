"""Intervals: as wide as theory says, the same at every call, wider where speakers differ."""

from __future__ import annotations

import numpy as np
import pytest

from edgeser_train import metrics
from edgeser_train.evaluation.bootstrap import difference, interval, tables


def answers(right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets (n,) of two labels in turn, and what is said (n, 1) where so many are right."""
    targets = np.arange(len(right)) % 2
    return targets, np.where(right, targets, 1 - targets)[:, None]


def names(n: int) -> list[str]:
    return [f"{i:04}" for i in range(n)]


def width(right: np.ndarray, units: list[str]) -> float:
    estimate = interval(metrics.was, tables(units, *answers(right), 2))
    assert estimate.low <= estimate.value <= estimate.high
    return estimate.high - estimate.low


def test_tables_count_each_unit_and_seed() -> None:
    said = np.array([[0, 1], [1, 1], [1, 0]])
    counts = tables(["b", "a", "b"], np.array([0, 1, 1]), said, 2)
    assert counts.shape == (2, 2, 2, 2)
    assert counts[0].tolist() == [[[0, 0], [0, 1]], [[1, 0], [0, 1]]]
    assert counts[1].tolist() == [[[0, 0], [0, 1]], [[0, 1], [1, 0]]]


def test_over_utterances_it_is_as_wide_as_the_normal_one() -> None:
    right = np.random.default_rng(0).random(400) < 0.8
    share = right.mean()
    normal = 2 * 1.96 * np.sqrt(share * (1 - share) / 400)
    assert width(right, names(400)) == pytest.approx(normal, rel=0.15)


def test_it_is_the_same_at_every_call() -> None:
    right = np.random.default_rng(1).random(60) < 0.7
    counts = tables(names(60), *answers(right), 2)
    assert interval(metrics.uas, counts) == interval(metrics.uas, counts)


def test_speakers_that_differ_make_it_wider() -> None:
    rng = np.random.default_rng(2)
    speakers = [f"s{i // 40}" for i in range(400)]
    uneven = rng.random(400) < np.repeat(rng.choice([0.5, 0.95], 10), 40)
    assert width(uneven, speakers) > 1.5 * width(uneven, names(400))


def test_similar_speakers_do_not_make_it_wider() -> None:
    speakers = [f"s{i // 10}" for i in range(400)]
    alike = np.random.default_rng(3).random(400) < 0.75
    assert width(alike, speakers) == pytest.approx(width(alike, names(400)), rel=0.35)


def test_seeds_are_averaged() -> None:
    rng = np.random.default_rng(4)
    targets = np.arange(200) % 2
    said = np.stack([np.where(rng.random(200) < p, targets, 1 - targets) for p in (0.6, 0.9)], 1)
    both = interval(metrics.was, tables(names(200), targets, said, 2))
    each = [(said[:, s] == targets).mean() for s in range(2)]
    assert both.value == pytest.approx(np.mean(each))


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    rng = np.random.default_rng(5)
    right = rng.random(300) < 0.7
    better = right | (rng.random(300) < 0.2)
    one, other = (tables(names(300), *answers(x), 2) for x in (right, better))
    gained = difference(metrics.was, one, other)
    assert gained.value == pytest.approx(better.mean() - right.mean())
    assert 0 < gained.low < gained.value < gained.high
    alone = interval(metrics.was, one)
    assert gained.high - gained.low < 0.7 * (alone.high - alone.low)
    none = difference(metrics.uas, one, one)
    assert (none.value, none.low, none.high) == (0, 0, 0)
