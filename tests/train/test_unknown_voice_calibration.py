"""Calibration of a model for unknown voices, fitted on other voices."""

from __future__ import annotations

import numpy as np
import pytest

from edgeser.model.centring import Centring
from edgeser_train.evaluation.unknown_voice_calibration import fit
from edgeser_train.evaluation.unseen import (
    metrics_of,
)
from tests.train.predictions import UNSEEN_LABELS, predictions_of


def test_labels_that_unknown_voices_get_too_rarely_are_shifted_up() -> None:
    rng = np.random.default_rng(0)
    corpora = []
    for _ in range(3):
        targets = rng.integers(5, size=300)
        logits = rng.normal(0, 1, (300, 5)) + 2 * np.eye(5)[targets] - 1.5 * np.eye(5)[4]
        corpora.append(predictions_of(targets.tolist(), 2 * logits))
    calibration = fit(corpora[:2], corpora[:2])
    assert max(calibration.shift, key=calibration.shift.__getitem__) == "sad"
    assert sum(calibration.shift.values()) == pytest.approx(0)
    shift = calibration.applied(Centring([0.0] * 5, 1, 1), UNSEEN_LABELS).stranger_shift
    held = corpora[2]
    corrected = predictions_of(held.targets.tolist(), held.logits + np.array(shift))
    assert metrics_of(corrected, 1.0, 0.0).ua > metrics_of(held, 1.0, 0.0).ua + 0.05
    assert metrics_of(corrected, calibration.temperature, 0.0).ece < 0.1


def test_every_class_of_a_corpus_counts_alike_in_what_is_fitted() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 4], [400, 40])  # logits that are right on the average
    logits = rng.normal(0, 1, (440, 5)) + np.eye(5)[targets] - 9 * np.isin(np.arange(5), (1, 2, 3))
    shift = fit(
        [predictions_of(targets.tolist(), logits)] * 2, [predictions_of([0], logits[:1])]
    ).shift
    assert shift["angry"] - shift["sad"] == pytest.approx(0, abs=0.3)
