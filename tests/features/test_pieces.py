"""Windows in pieces."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeser.features import FrontEnd, WindowPolicy
from edgeser.features.pieces import pieces_of, spans

RAW = FrontEnd(normalise="none", range_db=1e4, mels=2)


def segments(frames: int, hop_frames: int) -> WindowPolicy:
    return WindowPolicy(cut="segments", frames=frames, hop_frames=hop_frames)


def ramp(frames: int) -> np.ndarray:
    return np.stack([np.arange(frames), -np.arange(frames)], axis=1).astype(np.float32)


def starts(frames: int, policy: WindowPolicy) -> list[int]:
    return [span.start for span in spans(frames, policy)]


@pytest.mark.parametrize(
    ("seconds", "train", "test"),
    [
        (2.0, [0], [0]),
        (3.1, [0, 100, 110], [0, 40, 80, 110]),
        (4.5, [0, 100, 200, 250], [0, 40, 80, 120, 160, 200, 240, 250]),
        (6.0, [0, 100, 200, 300, 400], list(range(0, 401, 40))),
    ],
)
def test_segments_of_two_seconds(seconds: float, train: list[int], test: list[int]) -> None:
    """Li et al.: every 1 s in training and 0.4 s in the test, and one more that ends with it."""
    frames = round(seconds * 100)
    assert starts(frames, segments(200, 100)) == train
    assert starts(frames, segments(200, 40)) == test


@given(st.integers(1, 900), st.integers(1, 300), st.data())
def test_segments_cover_all_and_have_one_length(n: int, frames: int, data: st.DataObject) -> None:
    policy = segments(frames, data.draw(st.integers(1, frames)))
    found = spans(n, policy)
    assert {span.stop - span.start for span in found} == {min(n, frames)}
    assert {t for span in found for t in range(span.start, span.stop)} == set(range(n))
    assert all(a.start < b.start for a, b in pairwise(found))


def test_a_whole_window_is_one_piece() -> None:
    (piece,) = pieces_of(ramp(333), RAW, WindowPolicy())
    np.testing.assert_array_equal(piece, ramp(333))


@pytest.mark.parametrize(("n", "first"), [(600, 0), (601, 0), (602, 1), (700, 50)])
def test_the_middle_of_a_long_window(n: int, first: int) -> None:
    (piece,) = pieces_of(ramp(n), RAW, WindowPolicy(cut="centre", frames=600))
    np.testing.assert_array_equal(piece, ramp(n)[first : first + 600])


def test_a_short_window_stays_short_or_lies_in_silence() -> None:
    centre = WindowPolicy(cut="centre", frames=10)
    assert [len(p) for p in pieces_of(ramp(7), RAW, centre)] == [7]
    (piece,) = pieces_of(ramp(7), RAW, msgspec.structs.replace(centre, fill=True))
    assert piece.shape == (10, 2)
    np.testing.assert_array_equal(piece[1:8], ramp(7))
    assert (piece[[0, 8, 9]] == np.float32(RAW.silence)).all()
    assert RAW.silence == -100


def test_silence_is_filled_in_before_normalisation() -> None:
    level = FrontEnd(normalise="level", mels=2, range_db=30)
    policy = WindowPolicy(cut="centre", frames=8, fill=True)
    (piece,) = pieces_of(np.full((4, 2), -20, np.float32), level, policy)
    np.testing.assert_allclose(piece[2:6], 15)
    np.testing.assert_allclose(piece[[0, 1, 6, 7]], -15)


def test_every_piece_is_normalised_by_itself() -> None:
    spec = FrontEnd(normalise="level", mels=2, deltas=2)
    for piece in pieces_of(np.abs(ramp(10)), spec, segments(4, 3)):
        assert piece.shape == (4, 6)
        assert abs(piece[:, :2].mean()) < 1e-5
        np.testing.assert_allclose(piece[0, 2:4], [0.5, 0.5])


def test_frames_are_left_as_they_are() -> None:
    frames = ramp(20)
    for policy in (WindowPolicy(), segments(8, 3), WindowPolicy(cut="centre", frames=9)):
        pieces_of(frames, FrontEnd(normalise="mean_var", mels=2), policy)
    np.testing.assert_array_equal(frames, ramp(20))


@pytest.mark.parametrize(
    "fields",
    [
        {"cut": "centre"},
        {"cut": "segments", "frames": 200},
        {"cut": "segments", "frames": 200, "hop_frames": 201},
        {"cut": "segments", "frames": 200, "hop_frames": 40, "fill": True},
        {"fill": True},
        {"cut": "sometimes"},
        {"frames": -1},
    ],
)
def test_impossible_policies_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, WindowPolicy)
