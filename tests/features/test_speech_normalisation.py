"""Normalisation by the speech in a window."""

from __future__ import annotations

import numpy as np

from edgeser.features import FrontEnd
from edgeser.features.frames import features_of
from edgeser.model.golden import waveform

SPEC = FrontEnd(normalise="speech")


def test_silence_around_speech_matters_less_than_in_the_mean() -> None:
    sound = waveform(1, 2.0)
    quiet = np.random.default_rng(0).normal(0, 3, 16_000).astype(np.int16)
    among = np.concatenate((quiet, sound, quiet))

    def shift_db(spec: FrontEnd) -> float:
        apart = features_of(among, spec)[105:295] - features_of(sound, spec)[5:195]
        return float(np.abs(apart).mean())

    assert shift_db(SPEC) < 0.7 * shift_db(FrontEnd(normalise="mean"))


def test_a_fixed_response_cancels() -> None:
    frames = FrontEnd(normalise="none", range_db=1000).normalised(
        features_of(waveform(2, 2.0), FrontEnd(normalise="none", range_db=1000))
    )
    wide = FrontEnd(normalise="speech", range_db=1000)
    response = np.linspace(-6, 6, 128, dtype=np.float32)
    response -= response.mean()
    np.testing.assert_allclose(
        wide.normalised(frames + response), wide.normalised(frames), atol=1e-3
    )


def test_half_of_it_lies_half_way() -> None:
    sound = waveform(2, 2.0)
    raw = features_of(sound, FrontEnd(normalise="none"))
    fixed = raw - features_of(sound, SPEC)
    half = raw - features_of(sound, FrontEnd(normalise="half_speech"))
    np.testing.assert_allclose(half, (fixed + fixed.mean()) / 2, atol=1e-3)


def test_equal_frames_become_zero() -> None:
    still = np.full((7, 128), -83.7, np.float32)
    assert np.abs(SPEC.normalised(still)).max() < 1e-3
