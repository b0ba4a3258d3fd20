"""Streaming features equal batch features, frame by frame, whatever was asked before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeser.features import FrameStream, FrontEnd
from edgeser.features.frames import features_of, raw_frames
from edgeser.model.golden import waveform
from tests.cuts import blocks_of, cuts

RAW = FrontEnd(normalise="none", range_db=200)
SOUND = waveform(3, 2.0)
HOP = RAW.hop
WHOLE = features_of(SOUND, RAW)


@given(cuts(len(SOUND)), st.data())
@settings(max_examples=40, deadline=None)
def test_incremental_equals_batch(where: list[int], data: st.DataObject) -> None:
    stream = FrameStream(RAW)
    forgotten = 0
    for block in blocks_of(SOUND, where):
        stream.push(block, stream.end_sample)
        last = stream.end_sample // HOP
        if last > forgotten:
            start = data.draw(st.integers(forgotten, last - 1))
            end = data.draw(st.integers(start + 1, last))
            frames = stream.frames(start * HOP, end * HOP)
            np.testing.assert_array_equal(frames, WHOLE[start:end])
            forgotten = data.draw(st.integers(forgotten, start))
            stream.forget(forgotten * HOP)


def test_each_frame_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    analyse = FrontEnd.frames

    def counting(self: FrontEnd, frames: np.ndarray) -> np.ndarray:
        computed.append(len(frames))
        return analyse(self, frames)

    monkeypatch.setattr(FrontEnd, "frames", counting)
    stream = FrameStream(RAW)
    stream.push(SOUND, 0)
    for end in range(50, 201, 50):
        stream.frames(max(0, end - 100) * HOP, end * HOP)
    stream.frames(0, 200 * HOP)
    assert computed == [50, 50, 50, 50]


def test_shapes() -> None:
    for seconds, frames in ((0.01, 1), (1, 100), (3, 300), (7, 700)):
        sound = np.ones(round(seconds * 16_000), np.int16)
        assert features_of(sound, FrontEnd()).shape == (frames, 128)
    assert FrontEnd().mel_filters.shape == (513, 128)
    assert features_of(SOUND, RAW).dtype == np.float32


def test_a_gap_starts_anew() -> None:
    stream = FrameStream(RAW)
    stream.push(SOUND[:8000], 0)
    stream.frames(0, 8000)
    stream.push(SOUND, 32_000)
    assert np.abs(stream.frames(32_000, 64_000) - WHOLE).max() < 1e-4


def test_long_sounds_give_the_same_frames_as_short_ones() -> None:
    long = np.concatenate([SOUND, SOUND])
    together = raw_frames(long, RAW)
    stream = FrameStream(RAW)
    stream.push(long, 0)
    apart = [stream.frames(k * HOP, (k + 40) * HOP) for k in range(0, 400, 40)]
    np.testing.assert_array_equal(together, np.concatenate(apart))


def test_a_frame_is_the_same_to_the_bit_wherever_it_stands_in_a_block() -> None:
    pieces = np.random.default_rng(0).standard_normal((64, RAW.window)).astype(np.float32)
    alone = np.concatenate([RAW.frames(piece[None]) for piece in pieces])
    np.testing.assert_array_equal(RAW.frames(pieces), alone)


def test_no_filter_is_empty() -> None:
    assert (RAW.mel_filters.max(axis=0) > 0).all()


@pytest.mark.parametrize(
    "normalise", ["peak", "level", "half_speech", "speech", "onset", "mean", "mean_var"]
)
@pytest.mark.parametrize("gain_db", [-20, 5])
def test_normalised_features_do_not_depend_on_gain(normalise: str, gain_db: float) -> None:
    spec = FrontEnd(normalise=normalise, range_db=50)
    loud = features_of(SOUND, spec)
    quiet = features_of(np.round(SOUND * 10 ** (gain_db / 20)).astype(np.int16), spec)
    assert np.abs(loud - quiet).mean() < 0.02


def test_windows_are_normalised_by_themselves() -> None:
    spec = FrontEnd(normalise="level")
    stream = FrameStream(spec)
    stream.push(SOUND, 0)
    frames = stream.frames(0, 100 * HOP)
    first = spec.normalised(frames)
    assert abs(first.mean()) < 1e-3
    assert np.array_equal(spec.normalised(frames), first)


@pytest.mark.parametrize(("start", "end"), [(0, 0), (160, 0), (1, 161), (0, 100)])
def test_windows_off_the_grid_are_refused(start: int, end: int) -> None:
    stream = FrameStream(RAW)
    stream.push(SOUND, 0)
    with pytest.raises(ValueError, match="off the grid"):
        stream.frames(start, end)


@pytest.mark.parametrize(
    "constants",
    [
        {"hop": 0},
        {"hop": 200},
        {"hop": 640},
        {"sample_rate": 8000, "f_max": 4000},
        {"window": 2048},
        {"f_max": 9000},
        {"lookback": 479},
        {"lookback": 641},
    ],
)
def test_impossible_front_ends_are_refused(constants: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="front end"):
        FrontEnd(**constants)
