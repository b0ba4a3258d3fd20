"""Valence and arousal as a projection of scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeser.model.affect import COORDINATES, affect_of, has_affect
from edgeser_train.corpora import LABELS


def test_every_label_that_corpora_share_has_a_place() -> None:
    assert set(LABELS) == set(COORDINATES)


@pytest.mark.parametrize("label", COORDINATES)
def test_a_certain_label_has_its_own_valence_and_arousal(label: str) -> None:
    labels = list(COORDINATES)
    scores = np.array([name == label for name in labels], np.float32)
    assert affect_of(scores, labels) == pytest.approx(COORDINATES[label], abs=1e-6)


@given(st.lists(st.floats(2**-9, 1, width=32), min_size=9, max_size=9))
def test_uncertain_scores_lie_between_the_labels(weights: list[float]) -> None:
    scores = np.array(weights, np.float32) / np.float32(sum(weights))
    affect = affect_of(scores, list(COORDINATES))
    assert affect is not None
    for value, axis in zip(affect, zip(*COORDINATES.values(), strict=True), strict=True):
        assert min(axis) - 1e-5 <= value <= max(axis) + 1e-5


def test_half_happy_and_half_sad_is_of_no_clear_valence() -> None:
    affect = affect_of(np.array([0.5, 0.5], np.float32), ["happy", "sad"])
    assert affect is not None
    assert affect.valence == pytest.approx((0.81 - 0.63) / 2)
    assert affect.arousal == pytest.approx((0.51 - 0.27) / 2)


def test_a_label_that_nobody_placed_has_no_affect() -> None:
    assert has_affect(["happy", "sad"])
    assert not has_affect(["happy", "motherese"])
    assert affect_of(np.array([0.5, 0.5], np.float32), ["happy", "motherese"]) is None
