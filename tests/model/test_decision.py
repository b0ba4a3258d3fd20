"""Calibration, abstention and the smoothed state."""

from __future__ import annotations

import numpy as np
import pytest

from edgeser.model.decision import Smoother, calibrated, probability, top_label

LABELS = ["angry", "happy", "neutral", "sad"]


def scores(**given: float) -> np.ndarray:
    rest = (1 - sum(given.values())) / (len(LABELS) - len(given))
    return np.array([given.get(label, rest) for label in LABELS], np.float32)


def test_a_temperature_softens_and_keeps_the_order() -> None:
    logits = np.array([[4.0, 1.0, 0.0, -2.0]], np.float32)
    sharp, soft = calibrated(logits, 1.0)[0], calibrated(logits, 3.0)[0]
    assert sharp.sum() == pytest.approx(1)
    assert soft.sum() == pytest.approx(1)
    assert soft[0] < sharp[0]
    assert list(np.argsort(soft)) == list(np.argsort(sharp))


def test_huge_logits_do_not_overflow() -> None:
    assert calibrated(np.array([1e4, 0, 0, 0], np.float32), 1.0)[0] == 1


def test_log_odds_of_any_size_are_a_probability() -> None:
    odds = (-1e4, -np.log(3), 0.0, np.log(3), 1e4)
    assert [probability(one) for one in odds] == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])


def test_abstention() -> None:
    assert top_label(scores(happy=0.5), LABELS, 0.4) == "happy"
    assert top_label(scores(happy=0.39), LABELS, 0.4) == "unknown"


def test_the_state_begins_unknown_and_takes_the_first_clear_label() -> None:
    smoother = Smoother(LABELS, weight=0.4, margin=0.1)
    assert smoother.update(scores(), 1.0).label == "unknown"
    state = smoother.update(scores(sad=0.9), 2.0)
    assert (state.label, state.since) == ("sad", 2.0)


def test_one_window_does_not_flip_the_state_and_several_do() -> None:
    smoother = Smoother(LABELS, weight=0.4, margin=0.1)
    for second in range(1, 11):
        smoother.update(scores(sad=0.9), second)
    assert smoother.update(scores(angry=0.9), 11).label == "sad"
    assert smoother.update(scores(sad=0.9), 12).label == "sad"
    smoother.update(scores(angry=0.9), 13)
    smoother.update(scores(angry=0.9), 14)
    state = smoother.update(scores(angry=0.9), 15)
    assert state.label == "angry"
    assert state.since in (14, 15)
    assert smoother.update(scores(angry=0.9), 16).since == state.since
