"""Where a voice is hardly louder than the room, the voice says where a segment begins and ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeser.pcm import FRAME_SAMPLES, Samples
from edgeser.speech.detector import SpeechDetector
from edgeser.speech.outputs import SegmentEnded, SegmentStarted
from tests.sounds import noise, speech
from tests.speech.judged import CONFIG, FLOOR_DBFS, Frame, Judged, frames

LOUD = replace(CONFIG, loud_dbfs=-60.0)

Sound = list[Frame]


def voiced(snr_db: float, probability: float) -> Frame:
    """As all frames are for WebRTC VAD in real noise."""
    return Frame(True, probability, snr_db)


NOISE: Sound = [voiced(1.3, 0.01)] * 150
VOICE, SOFT, SAW = voiced(6.0, 0.95), voiced(2.0, 0.9), voiced(6.0, 0.4)


def test_a_voice_that_the_level_does_not_show_begins_and_ends_a_segment() -> None:
    heard = Judged(LOUD)
    started, *_, ended = heard.hear_to_the_end([*NOISE, *[VOICE] * 40, *NOISE])
    assert isinstance(started, SegmentStarted)
    assert isinstance(ended, SegmentEnded)
    assert ended.no_final is None
    assert frames(started.start) == pytest.approx(150 - CONFIG.pre_roll, abs=2)
    assert frames(ended.end) == pytest.approx(190 + CONFIG.hangover, abs=2)
    assert len(set(heard.asked) - {None}) == 1  # a restart would forget the noise


def test_a_voice_that_is_loud_at_once_is_heard_however_early_a_segment_begins() -> None:
    sound = [*NOISE, *[voiced(15.0, 0.95)] * 100, *NOISE]
    assert isinstance(Judged(replace(LOUD, start=1)).hear_to_the_end(sound)[0], SegmentStarted)


def test_without_confirmation_it_does_not() -> None:
    config = replace(LOUD, confirm=None, loud_dbfs=None)
    assert Judged(config).hear_to_the_end([*NOISE, *[VOICE] * 40, *NOISE]) == []


@pytest.mark.parametrize("probability", [0.4, 0.7])
def test_what_is_hardly_a_voice_begins_nothing_and_is_not_told(probability: float) -> None:
    assert Judged(LOUD).hear_to_the_end([*NOISE, *[voiced(6.0, probability)] * 200, *NOISE]) == []


def test_the_detector_listens_only_where_something_is_louder_than_the_noise() -> None:
    heard = Judged(LOUD)
    heard.hear_to_the_end(NOISE)
    assert set(heard.asked) == {None}
    heard = Judged(LOUD)
    heard.hear_to_the_end([*NOISE, *[SAW] * 20, *NOISE])
    listened = [index for index, asked in enumerate(heard.asked) if asked is not None]
    assert 150 < listened[0] < 165
    assert 265 < listened[-1] < 280
    assert {frames(asked) for asked in heard.asked if asked is not None} == {
        listened[0] - 100  # the noise before it, and no more than that
    }


@pytest.mark.parametrize(("loudest_db", "end"), [(12.0, 240), (30.0, 190)])
def test_a_segment_goes_on_with_a_voice_that_sinks_into_loud_noise(
    loudest_db: float, end: int
) -> None:
    sound = [*NOISE, *[voiced(loudest_db, 0.95)] * 40, *[SOFT] * 50, *NOISE]
    outputs = Judged(LOUD).hear_to_the_end(sound)
    ended = next(output for output in outputs if isinstance(output, SegmentEnded))
    assert frames(ended.end) == pytest.approx(end + CONFIG.hangover, abs=2)


@pytest.mark.parametrize(("probability", "told"), [(0.55, False), (0.7, True)])
def test_who_knows_the_noise_needs_less_to_know_a_voice(probability: float, told: bool) -> None:
    sound = [*NOISE, *[voiced(15.0, probability)] * 100, *NOISE]
    loud, quiet = (
        Judged(LOUD).hear_to_the_end(sound),
        Judged(LOUD, floor_dbfs=-65).hear_to_the_end(sound),
    )
    assert isinstance(loud[0], SegmentStarted) == told
    (rejected,) = quiet
    assert isinstance(rejected, SegmentEnded)
    assert rejected.no_final == "not_speech"


def test_what_it_did_not_know_for_a_voice_is_heard_again() -> None:
    sound = [*NOISE, *[voiced(15.0, 0.2)] * 100, *NOISE]
    outputs = Judged(LOUD, rescored=[0.5] * len(sound)).hear_to_the_end(sound)
    assert [type(output) for output in outputs] == [SegmentStarted, SegmentEnded]


def test_the_detector_asks_for_no_sound_that_was_let_go() -> None:
    """Not even where a segment begins with the first frame of a noise behind a voice."""
    room = noise(2.0, 28.0)
    sound = np.concatenate((room, speech()[8_000:40_000] + room, noise(4.0, 2_000.0)))
    needed, asked = 0, []

    def samples(start: int, end: int) -> Samples:
        asked.append(start - needed)
        return sound[start:end]

    detector = SpeechDetector(replace(LOUD, start=1), 0, samples)
    for position in range(0, len(sound), FRAME_SAMPLES):
        list(detector.push(sound[position : position + FRAME_SAMPLES]))
        needed = detector.needed_from
    assert detector.segmenter.is_open
    assert min(asked) == 0


sounds = st.lists(
    st.tuples(
        st.sampled_from([0.0, 2.0, 6.0, 12.0, 30.0]),
        st.sampled_from([0.0, 0.2, 0.6, 1.0]),
        st.integers(1, 120),
    ),
    min_size=1,
    max_size=12,
).map(lambda runs: [voiced(snr, p) for snr, p, length in runs for _ in range(length)])


@given(sounds, st.sampled_from([FLOOR_DBFS, -65.0]))
@settings(deadline=None)
def test_segments_are_in_order_share_nothing_and_lie_in_what_is_kept(
    sound: Sound, floor_dbfs: float
) -> None:
    heard = Judged(LOUD, floor_dbfs=floor_dbfs)
    segmenter = heard.segmenter
    needed = position = number = 0
    told = False
    for frame in [*sound, None]:
        for output in segmenter.flush() if frame is None else heard.push(frame):
            assert output.segment == (number if told else number + 1)
            assert output.start >= position
            if not (isinstance(output, SegmentEnded) and output.no_final == "not_speech"):
                assert output.start >= needed
            told = isinstance(output, SegmentStarted) or (
                told and not isinstance(output, SegmentEnded)
            )
            number = output.segment
            if isinstance(output, SegmentEnded):
                assert output.start <= output.end <= len(heard.sound) * FRAME_SAMPLES
                position = output.end
        if frame is None:
            break
        assert segmenter.needed_from >= needed
        needed = segmenter.needed_from
        if segmenter.score_from is not None and segmenter.score_from != heard.asked[-1]:
            assert segmenter.score_from >= needed  # a sound that is still there
    assert not told
