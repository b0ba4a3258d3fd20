"""Figures equal those of torchmetrics; calibration does what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
    multiclass_f1_score,
)

from edgeser.model.decision import softmax
from edgeser_train import metrics
from edgeser_train.evaluation.calibration import abstention, at_bound, cross_fitted, temperature


@pytest.fixture(scope="module")
def answers() -> tuple[np.ndarray, np.ndarray]:
    """Logits (200, 4) and targets that they find two times in three."""
    rng = np.random.default_rng(5)
    targets = rng.choice(4, 200, p=(0.4, 0.3, 0.2, 0.1))
    return rng.normal(0, 1, (200, 4)) + 2 * np.eye(4)[targets], targets


def test_figures_are_those_of_torchmetrics(answers: tuple[np.ndarray, np.ndarray]) -> None:
    logits, targets = answers
    said = logits.argmax(axis=1)
    counts = metrics.confusion(targets, said, 4)
    p, t = torch.tensor(said), torch.tensor(targets)
    assert counts.tolist() == multiclass_confusion_matrix(p, t, 4).tolist()
    assert metrics.wa(counts) == pytest.approx(float(multiclass_accuracy(p, t, 4, "micro")))
    assert metrics.ua(counts) == pytest.approx(float(multiclass_accuracy(p, t, 4, "macro")))
    assert metrics.f1(counts) == pytest.approx(float(multiclass_f1_score(p, t, 4, "macro")))
    scores = softmax(logits)
    expected = multiclass_calibration_error(torch.tensor(scores), t, 4, n_bins=15)
    assert metrics.ece(scores, targets) == pytest.approx(float(expected), abs=1e-6)


def test_figures_by_hand() -> None:
    counts = np.array([[8, 2, 0], [1, 3, 0], [3, 0, 3]])
    assert metrics.wa(counts) == pytest.approx(14 / 20)
    assert metrics.ua(counts) == pytest.approx((8 / 10 + 3 / 4 + 3 / 6) / 3)
    assert metrics.f1(counts) == pytest.approx((16 / 22 + 6 / 9 + 6 / 9) / 3)
    both = np.stack([counts, np.diag([1, 0, 4])])
    assert metrics.was(both).tolist() == pytest.approx([0.7, 1.0])
    assert metrics.uas(both).tolist() == pytest.approx([metrics.ua(counts), 1.0])
    assert metrics.f1s(both).tolist() == pytest.approx([metrics.f1(counts), 1.0])


def test_ece_by_hand() -> None:
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    targets = np.array([0, 1, 1, 1])
    assert metrics.ece(scores, targets) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 2 / 32), (5, 0, 2 / 32), (1, 7, 2 * 9 / 256)],
)
def test_mcnemar_by_hand(first: int, second: int, p: float) -> None:
    assert metrics.mcnemar(first, second) == pytest.approx(p)


def test_a_class_without_examples_does_not_count() -> None:
    counts = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    assert metrics.ua(counts) == pytest.approx((0.75 + 1) / 2)


def test_temperature_undoes_a_scale(answers: tuple[np.ndarray, np.ndarray]) -> None:
    logits, targets = answers
    fitted = temperature(logits, targets)
    assert temperature(2 * logits, targets) == pytest.approx(2 * fitted, rel=5e-3)


def test_temperature_has_the_least_loss(answers: tuple[np.ndarray, np.ndarray]) -> None:
    logits, targets = answers

    def loss(t: float) -> float:
        return -float(np.log(softmax(logits / t)[np.arange(200), targets]).mean())

    fitted = temperature(logits, targets)
    assert loss(fitted) <= min(loss(fitted * 1.02), loss(fitted / 1.02))


def test_scores_that_are_far_too_sure_get_a_high_temperature(
    answers: tuple[np.ndarray, np.ndarray],
) -> None:
    logits, targets = answers
    fitted = temperature(logits, targets)
    assert not at_bound(fitted)
    assert temperature(60 * logits, targets) == pytest.approx(60 * fitted, rel=5e-3)
    assert not at_bound(temperature(60 * logits, targets))
    assert at_bound(temperature(1e5 * logits, targets))
    assert at_bound(temperature(np.eye(4)[targets], targets))


def test_cross_fitting_never_uses_a_group_s_own_answers(
    answers: tuple[np.ndarray, np.ndarray],
) -> None:
    logits, targets = answers
    groups = np.arange(200) % 5
    scores = cross_fitted(logits, targets, groups)
    spoilt = targets.copy()
    spoilt[groups == 2] = (spoilt[groups == 2] + 1) % 4
    again = cross_fitted(logits, spoilt, groups)
    np.testing.assert_array_equal(scores[groups == 2], again[groups == 2])
    assert not np.allclose(scores[groups == 1], again[groups == 1])


def test_the_abstention_threshold_is_at_most_0_99() -> None:
    wrong = np.stack([np.ones(20), np.zeros(20)], axis=1)
    assert abstention(wrong, np.ones(20, int)) == 0.99


def test_abstention_is_where_answers_are_right_every_second_time() -> None:
    confidence = np.linspace(0.3, 0.9, 61)
    scores = np.stack([confidence, 1 - confidence], axis=1)
    scores = np.where(scores[:, :1] >= 0.5, scores, scores[:, ::-1])
    assert abstention(scores, np.zeros(61, int)) == 0.0
    flat = np.stack([confidence, *[(1 - confidence) / 3] * 3], axis=1)
    targets = np.where(confidence < 0.5, 1, 0)
    threshold = abstention(flat, targets)
    below = flat.max(axis=1) < threshold
    assert (targets[below] == 0).mean() <= 0.5
    assert 0.5 < threshold < 0.75
