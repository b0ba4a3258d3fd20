"""The daemon with every model that can ship: each final has the score that PyTorch gives it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from edgeser.features.frames import raw_frames
from edgeser.features.pieces import batch_of, pieces_of
from edgeser.pcm import SAMPLE_RATE
from edgeser_export.onnx_export import export
from tests.export.models import RELEASE, SPECTRAL, small
from tests.sounds import SPEECH_FILE
from tests.system.daemons import running


@pytest.mark.parametrize("name", SPECTRAL)
def test_the_daemon_scores_what_it_hears_as_pytorch_does(name: str, tmp_path: Path) -> None:
    model, origin = small(name)
    path = tmp_path / f"{name}.onnx"
    export(model, origin, path, RELEASE)
    words = ("--source", str(SPEECH_FILE), "--fast", "--once", "--model", str(path))
    with running(*words, env={"EDGESER_BASELINE_LEARN": "false"}) as daemon:
        assert daemon.wait() == 0
    sound, rate = soundfile.read(SPEECH_FILE, dtype="int16")
    assert rate == SAMPLE_RATE
    recipe = origin.recipe
    frames = raw_frames(np.pad(sound, (0, SAMPLE_RATE)), recipe.front_end)
    assert len(daemon.finals) >= 3
    for event in daemon.finals:
        first, last = (
            round(t * SAMPLE_RATE / recipe.front_end.hop) for t in (event.start, event.end)
        )
        pieces = pieces_of(frames[first:last], recipe.front_end, recipe.window)
        features, counts = batch_of(pieces, recipe.window.pad_frames)
        with torch.inference_mode():
            logits = model(torch.from_numpy(features), torch.from_numpy(counts)).mean(dim=0)
        expected = torch.softmax(logits / RELEASE.calibration.temperature, dim=0)
        scores = [event.scores[label] for label in origin.labels]
        np.testing.assert_allclose(scores, expected.numpy(), atol=1e-3)
