"""Recordings and spectrograms are varied, and stay what they are."""

from __future__ import annotations

import numpy as np
import pytest

from edgeser.features import FrontEnd
from edgeser.features.frames import features_of, raw_frames
from edgeser.model.golden import waveform
from edgeser_train.sound.augment import (
    SpectrogramAugmentation,
    WaveformAugmentation,
    mask,
    vary,
    warp,
)


@pytest.mark.parametrize("seed", range(8))
def test_a_varied_recording_is_a_recording(seed: int) -> None:
    spec = WaveformAugmentation(
        speed_chance=1,
        tilt_chance=1,
        room_chance=1,
        noise_chance=1,
        band_chance=1,
        codec_chance=1,
        speed=(0.8, 1.25),
    )
    sound = waveform(seed, 1.0)
    varied = vary(sound, spec, np.random.default_rng(seed))
    again = vary(sound, spec, np.random.default_rng(seed))
    assert varied.dtype == np.int16
    assert 0.79 <= len(varied) / len(sound) <= 1.26
    assert np.abs(varied.astype(int)).max() > 500
    np.testing.assert_array_equal(varied, again)


@pytest.mark.parametrize("level", [0.3, 1.0, 2.0])
def test_a_room_is_as_reverberant_as_the_recipe_says(level: float) -> None:
    spec = WaveformAugmentation(
        room_chance=1,
        room_level=(level, level),
        peak_dbfs=(-1, -1),
        **{f"{step}_chance": 0 for step in ("speed", "tilt", "noise", "band", "codec")},
    )
    click = np.zeros(16_000, np.int16)
    click[0] = 20_000
    heard = vary(click, spec, np.random.default_rng(3)).astype(np.float64)
    reverberation = np.sqrt(np.sum(heard[1:] ** 2)) / heard[0]
    assert reverberation == pytest.approx(level, rel=0.05)


@pytest.mark.parametrize("length", [20, 100, 150])
def test_a_warped_piece_has_its_length(length: int) -> None:
    frames = raw_frames(waveform(1, 1.0), FrontEnd())
    for seed in range(20):
        rng = np.random.default_rng(seed)
        piece = warp(frames, length, SpectrogramAugmentation(), rng).piece
        assert piece.shape == (length, 128)
        assert piece.dtype == np.float32
        assert frames.min() - 20 < piece.min() <= piece.max() < frames.max() + 20


def test_without_warping_a_piece_is_a_cut() -> None:
    frames = np.arange(100, dtype=np.float32)[:, None] + np.zeros((1, 8), np.float32)
    still = SpectrogramAugmentation(tempo=(1, 1), mel_warp=(1, 1), tilt_db=0, ripple_db=0)
    piece = warp(frames, 30, still, np.random.default_rng(0)).piece
    np.testing.assert_allclose(np.diff(piece[:, 0]), 1, atol=1e-4)


def test_masks_leave_most_of_a_window() -> None:
    features = features_of(waveform(1, 2.0), FrontEnd())
    before = features.copy()
    mask(features, SpectrogramAugmentation(), np.random.default_rng(0))
    assert 0 < (features != before).mean() < 0.5
