"""The level of some frames is that of their samples together."""

from __future__ import annotations

import numpy as np
import pytest

from edgeser.speech.meter import Meter, power_of
from edgeser.speech.vad import VoiceActivity, level_dbfs
from tests.sounds import speech


def test_a_level_is_that_of_all_samples_since_it_was_read() -> None:
    meter, vad = Meter(), VoiceActivity(2)
    assert meter.take() is None
    assert meter.floor_dbfs is None
    whole = speech()[: 320 * 100]
    for samples in np.split(whole, 2):
        for block in np.split(samples, 5):
            frames = list(vad.push(block))
            meter.add(power_of(frames), len(frames), frames[-1].floor_dbfs)
        assert meter.take() == pytest.approx(level_dbfs(samples), abs=0.02)
        assert meter.take() is None
    assert meter.floor_dbfs == pytest.approx(vad.floor_dbfs, abs=0.01)
