"""Utterances are scored where the model's weights are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgeser.features import FrontEnd
from edgeser.features.frames import raw_frames
from edgeser.features.pieces import WindowPolicy
from edgeser.model.golden import waveform
from edgeser_train.models.scoring import (
    scoring_device,
    utterance_logits,
    utterance_pieces,
    windows_logits,
)
from tests.export.models import NAMES, small


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_computed_on_the_device_of_the_weights(name: str) -> None:
    """On the device "meta", which stands for a GPU: an operation that mixed devices would fail
    differently; here only fetching the logits fails.
    """
    model, origin = small(name)
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        utterance_logits(
            model.to("meta"), [waveform(9, 2.7)], origin.recipe.front_end, origin.recipe.window
        )


@pytest.mark.parametrize("name", NAMES)
def test_windows_of_a_batch_score_as_each_alone(name: str) -> None:
    model, origin = small(name)
    front_end, window = origin.recipe.front_end, origin.recipe.window
    windows = [
        utterance_pieces(waveform(seed, seconds), front_end, window, model.min_frames)
        for seed, seconds in ((1, 0.7), (2, 2.7), (3, 3.1))
    ]
    together = windows_logits(model, windows, window.pad_frames)
    alone = [windows_logits(model, [pieces], window.pad_frames)[0] for pieces in windows]
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_the_gpu_scores_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_there, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda is_there=is_there: is_there)
        assert scoring_device() == device


def test_long_utterances_are_scored_on_their_middle() -> None:
    front_end = FrontEnd()
    sound = waveform(1, 3.0)
    window = WindowPolicy(cut="centre", frames=120)
    (middle,) = utterance_pieces(sound, front_end, window, 3)
    expected = front_end.normalised(raw_frames(sound, front_end)[90:210])
    np.testing.assert_array_equal(middle, expected)
    (short,) = utterance_pieces(sound[:5], front_end, window, 3)
    assert len(short) == 3
