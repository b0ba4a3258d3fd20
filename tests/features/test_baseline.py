"""A window against how its voice usually sounds."""

from __future__ import annotations

from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeser.features import Baseline, FrontEnd, WindowPolicy
from edgeser.features.baseline import no_baseline, of_others
from edgeser.features.frames import raw_frames
from edgeser.features.front_end import Floats
from edgeser.features.pieces import pieces_of
from edgeser.model.golden import waveform

SPEECH = FrontEnd(normalise="speech", mels=64)
VOICE = msgspec.structs.replace(SPEECH, normalise="voice", own_frames=50)


def frames_of(seed: int, seconds: float = 2.0) -> Floats:
    return raw_frames(waveform(seed, seconds), VOICE)


def baseline_of(*seeds: int) -> Baseline:
    baseline = no_baseline(VOICE.bins)
    for seed in seeds:
        baseline = VOICE.updated(baseline, frames_of(seed))
    return baseline


@pytest.mark.parametrize("baseline", [None, no_baseline(64)])
def test_without_a_baseline_a_window_stands_alone(baseline: Baseline | None) -> None:
    np.testing.assert_array_equal(
        VOICE.normalised(frames_of(1), baseline), SPEECH.normalised(frames_of(1))
    )


def test_the_mean_lies_between_the_windows_own_and_the_baselines() -> None:
    frames, baseline = frames_of(1), baseline_of(2, 3)
    own = VOICE.heard(frames).mean
    share = baseline.frames / (baseline.frames + 50)
    expected = np.maximum(frames, frames.max() - 80) - (own + share * (baseline.mean - own))
    np.testing.assert_allclose(VOICE.normalised(frames, baseline), expected, atol=1e-3)
    assert baseline.weight(50) == share


def test_a_window_that_sounds_as_usual_is_as_without_a_baseline() -> None:
    frames = frames_of(1)
    np.testing.assert_allclose(
        VOICE.normalised(frames, VOICE.heard(frames)), SPEECH.normalised(frames), atol=1e-3
    )


def test_a_microphones_response_and_gain_cancel() -> None:
    wide = msgspec.structs.replace(VOICE, range_db=1000.0)
    response = np.linspace(-9, 3, 64, dtype=np.float32)
    plain = wide.normalised(frames_of(1), wide.heard(frames_of(2)))
    other = wide.normalised(frames_of(1) + response, wide.heard(frames_of(2) + response))
    np.testing.assert_allclose(plain, other, atol=1e-3)


def test_how_loud_a_window_is_for_its_voice_stays() -> None:
    frames, baseline = frames_of(1), baseline_of(2, 3, 4, 5)
    louder = VOICE.normalised(frames + 6, baseline) - VOICE.normalised(frames, baseline)
    np.testing.assert_allclose(louder, 6 * baseline.weight(50), atol=1e-3)


def test_many_pieces_of_a_baseline_are_their_weighted_mean() -> None:
    parts = [VOICE.heard(frames_of(seed)) for seed in (1, 2, 3)]
    weights = np.array([part.frames for part in parts])
    expected = np.average([part.mean for part in parts], axis=0, weights=weights)
    baseline = baseline_of(1, 2, 3)
    assert baseline.frames == weights.sum()
    np.testing.assert_allclose(baseline.mean, expected, atol=1e-3)
    assert baseline.mean.dtype == np.float32


@given(st.lists(st.integers(1, 400), min_size=1, max_size=40), st.integers(1, 300))
def test_a_baseline_never_counts_for_more_than_its_bound_and_follows_the_voice(
    lengths: list[int], most: int
) -> None:
    baseline = Baseline(np.full(2, -60, np.float32), most)
    for length in lengths:
        later = baseline.updated(Baseline(np.full(2, -20, np.float32), length), most)
        assert later.frames <= most
        assert baseline.mean[0] <= later.mean[0] <= -20
        assert later.mean[0] > baseline.mean[0] or baseline.mean[0] > -20.01
        baseline = later


def test_what_is_the_same_gives_the_same_to_the_bit() -> None:
    first, again = baseline_of(4, 2, 7), baseline_of(4, 2, 7)
    np.testing.assert_array_equal(first.mean, again.mean)


def test_every_piece_of_a_window_is_judged_against_the_baseline() -> None:
    policy = WindowPolicy(cut="segments", frames=100, hop_frames=50)
    frames, baseline = frames_of(1), baseline_of(2)
    pieces = pieces_of(frames, VOICE, policy, baseline)
    assert len(pieces) == 3
    np.testing.assert_array_equal(pieces[1], VOICE.normalised(frames[50:150], baseline))


def test_other_front_ends_do_not_know_baselines() -> None:
    np.testing.assert_array_equal(
        SPEECH.normalised(frames_of(1), baseline_of(2)), SPEECH.normalised(frames_of(1))
    )
    assert VOICE.learns_voices
    assert not SPEECH.learns_voices


@pytest.mark.parametrize("field", ["own_frames", "baseline_frames"])
def test_constants_of_the_baseline_are_checked(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        FrontEnd(normalise="voice", **{field: 0})


@given(
    st.lists(st.tuples(st.integers(0, 400), st.floats(-80, 0)), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_of_others_is_the_mean_of_all_but_one_whatever_the_order(
    heard: list[tuple[int, float]], chance: Random
) -> None:
    baselines = [Baseline(np.full(3, mean, np.float32), frames) for frames, mean in heard]
    order = chance.sample(range(len(heard)), len(heard))
    shuffled = of_others([baselines[k] for k in order], 500)
    for own, found in enumerate(of_others(baselines, 500)):
        others = no_baseline(3)
        for k, baseline in enumerate(baselines):
            if k != own:
                others = others.updated(baseline, 10_000)
        assert found.frames == min(500, others.frames)
        np.testing.assert_allclose(found.mean, others.mean, atol=1e-3)
        np.testing.assert_allclose(shuffled[order.index(own)].mean, found.mean, atol=1e-4)
