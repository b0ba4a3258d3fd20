"""Only what sounds like a voice becomes a segment that is told, and from where it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeser.pcm import FRAME_SAMPLES
from edgeser.speech.config import SegmenterConfig
from edgeser.speech.harmonicity import NOT_HARMONIC_DB
from edgeser.speech.outputs import SegmentEnded, SegmenterOutput, SegmentStarted, WindowDue
from tests.speech.judged import CONFIG, Frame, Judged, frames

Sound = list[Frame]

QUIET: Sound = [Frame(False, 0.0)] * 50
PERSON, DOG, WHISPER = Frame(True, 0.95), Frame(True, 0.05), Frame(True, 0.2)


def run(
    sound: Sound,
    config: SegmenterConfig = CONFIG,
    rescored: Sequence[float] = (),
    hnr_db: float = NOT_HARMONIC_DB,
) -> list[SegmenterOutput]:
    return Judged(config, rescored, hnr_db=hnr_db).hear_to_the_end(sound)


def test_a_voice_is_told_before_its_first_window_and_none_comes_later() -> None:
    sound = [*QUIET, *[PERSON] * 100, *QUIET]
    plain = run(sound, replace(CONFIG, confirm=None))
    outputs = run(sound)
    assert isinstance(outputs[0], SegmentStarted)
    assert outputs[0] == plain[0]
    windows = [(o.start, o.end) for o in outputs if isinstance(o, WindowDue)]
    assert windows == [(o.start, o.end) for o in plain if isinstance(o, WindowDue)]
    judged, started_at = Judged(), 0
    while not judged.hear([sound[len(judged.sound)]]):
        started_at = len(judged.sound)
    assert started_at - frames(outputs[0].start) < CONFIG.window_minimum


def test_what_is_no_voice_is_told_once_at_its_end() -> None:
    (end,) = run([*QUIET, *[DOG] * 100, *QUIET])
    assert isinstance(end, SegmentEnded)
    assert end.no_final == "not_speech"
    assert frames(end.start) == 50 - CONFIG.pre_roll
    assert frames(end.end) == 150 + CONFIG.hangover


def test_numbers_go_on_over_what_was_rejected() -> None:
    outputs = run([*QUIET, *[DOG] * 30, *QUIET, *[PERSON] * 60, *QUIET])
    assert [o.segment for o in outputs if isinstance(o, SegmentEnded)] == [1, 2]


def test_a_person_after_a_dog_begins_where_the_person_does() -> None:
    outputs = run([*QUIET, *[DOG] * 100, *[PERSON] * 100, *QUIET])
    started, ended = outputs[0], outputs[-1]
    assert isinstance(started, SegmentStarted)
    assert abs(frames(started.start) - (150 - CONFIG.pre_roll)) <= 2
    assert isinstance(ended, SegmentEnded)
    assert ended.no_final is None
    assert ended.start == started.start
    first = next(o for o in outputs if isinstance(o, WindowDue))
    assert first.start == started.start
    assert frames(first.end - first.start) == CONFIG.window_minimum


def test_an_unvoiced_beginning_stays() -> None:
    outputs = run([*QUIET, *[WHISPER] * 10, *[PERSON] * 60, *QUIET])
    assert isinstance(outputs[0], SegmentStarted)
    assert frames(outputs[0].start) == 50 - CONFIG.pre_roll


def test_a_word_is_told_at_its_end() -> None:
    start, end = run([*QUIET, *[PERSON] * 20, *QUIET])
    assert isinstance(start, SegmentStarted)
    assert isinstance(end, SegmentEnded)
    assert end.no_final is None
    assert end.speech_probability is not None
    assert end.speech_probability > 0.9


def test_a_word_that_waits_for_the_detector_when_the_sound_ends_is_told() -> None:
    judged = Judged(at_once=100)
    assert judged.hear([*QUIET, *[PERSON] * 20]) == []
    told = judged.segmenter.flush(judged.chunks(len(judged.sound) * FRAME_SAMPLES, at_last=True))
    assert [type(output) for output in told] == [SegmentStarted, SegmentEnded]


def test_a_word_ends_after_it_begins_though_a_voice_is_heard_below_the_level() -> None:
    config = replace(CONFIG, confirm=0.3, end=60)
    below = [*[Frame(False, 0.0)] * 30, *[Frame(False, 0.9)] * 40]
    start, end = run([*QUIET, *[WHISPER] * 20, *below], config)
    assert isinstance(start, SegmentStarted)
    assert isinstance(end, SegmentEnded)
    assert frames(start.start) == frames(end.start) < 70
    assert frames(end.end) == 70 + CONFIG.hangover


def test_a_yelp_is_no_word() -> None:
    (end,) = run([*QUIET, *[DOG] * 10, *[PERSON] * 3, *QUIET])
    assert isinstance(end, SegmentEnded)
    assert end.no_final == "not_speech"


MURMUR = Frame(True, 0.4)
"""A voice that is held for none the first time."""


def test_what_is_a_voice_the_second_time_is_told_at_its_end() -> None:
    sound = [*QUIET, *[MURMUR] * 100, *QUIET]
    start, end = run(sound, rescored=[0.35] * len(sound))
    assert isinstance(start, SegmentStarted)
    assert frames(start.start) == 50 - CONFIG.pre_roll
    assert isinstance(end, SegmentEnded)
    assert end.no_final is None
    assert end.end == run(sound)[0].end == run(sound, replace(CONFIG, confirm=None))[-1].end
    assert end.speech_probability == pytest.approx(0.4, abs=0.01)
    (told,) = run(sound, rescored=[0.2] * len(sound))
    assert isinstance(told, SegmentEnded)
    assert told.no_final == "not_speech"


def test_what_is_a_voice_the_second_time_begins_where_it_does() -> None:
    sound = [*QUIET, *[DOG] * 100, *[MURMUR] * 150, *QUIET]
    start, _ = run(sound, rescored=[0.0] * 150 + [0.6] * 150 + [0.0] * 50)
    assert isinstance(start, SegmentStarted)
    assert abs(frames(start.start) - (150 - CONFIG.pre_roll)) <= 2


@pytest.mark.parametrize(
    ("probability", "hnr_db", "told"),
    [
        (0.7, 0.0, False),
        (0.7, 1.0, True),
        (0.4, 4.0, False),
        (0.4, 5.0, True),
        (0.03, 15.0, True),
        (0.01, 25.0, False),  # more than 15 dB is no more of a voice
        (0.0, 30.0, False),
    ],
)
def test_the_more_harmonic_a_sound_the_less_sure_the_detector_needs_to_be(
    probability: float, hnr_db: float, told: bool
) -> None:
    sound = [*QUIET, *[Frame(True, probability)] * 100, *QUIET]
    outputs = run(sound, hnr_db=hnr_db)
    ended = outputs[-1]
    assert isinstance(ended, SegmentEnded)
    assert (ended.no_final is None) == told
    assert frames(ended.start) == 50 - CONFIG.pre_roll
    assert ended.end == run(sound, replace(CONFIG, confirm=None))[-1].end


def test_a_bark_is_too_short_to_be_a_harmonic_voice() -> None:
    for length, told in ((CONFIG.start + 2, False), (30, True)):
        ended = run([*QUIET, *[Frame(True, 0.3)] * length, *QUIET], hnr_db=15.0)[-1]
        assert isinstance(ended, SegmentEnded)
        assert (ended.no_final != "not_speech") == told


def test_only_what_could_pass_by_it_is_measured() -> None:
    judged = Judged()
    judged.hear([*QUIET, *[PERSON] * 100, *QUIET, *[Frame(True, 0.004)] * 100, *QUIET])
    assert judged.measured == []
    (end,) = judged.hear([*[MURMUR] * 100, *QUIET])
    assert isinstance(end, SegmentEnded)
    assert judged.measured == judged.heard_quiet[-1:] == [(end.start, end.end)]


def test_only_what_was_not_confirmed_is_heard_again_and_once() -> None:
    judged = Judged()
    judged.hear([*QUIET, *[PERSON] * 100, *QUIET])
    assert judged.heard_quiet == []
    (end,) = judged.hear([*[DOG] * 100, *QUIET])
    assert isinstance(end, SegmentEnded)
    assert judged.heard_quiet == [(end.start, end.end)]


def test_endless_noise_is_one_sound_and_is_not_remembered() -> None:
    judged = Judged()
    assert judged.hear([*QUIET, *[DOG] * 3000]) == []
    assert judged.segmenter.is_open
    assert not judged.segmenter.in_speech
    assert len(judged.sound) - frames(judged.segmenter.needed_from) <= CONFIG.maximum
    (end,) = judged.hear(QUIET)
    assert isinstance(end, SegmentEnded)
    assert end.no_final == "not_speech"
    assert (frames(end.start), frames(end.end)) == (40, 3050 + CONFIG.hangover)


def test_a_person_who_speaks_over_endless_noise_is_heard_from_the_first_word() -> None:
    outputs = run([*QUIET, *[DOG] * 1000, *[PERSON] * 100, *QUIET])
    assert isinstance(outputs[0], SegmentStarted)
    assert abs(frames(outputs[0].start) - (1050 - CONFIG.pre_roll)) <= 2


def test_a_person_who_has_spoken_has_spoken_though_the_noise_goes_on() -> None:
    outputs = run([*QUIET, *[PERSON] * 100, *[DOG] * 300])
    first = next(o for o in outputs if isinstance(o, SegmentEnded))
    assert first.no_final is None
    assert abs(frames(first.end) - (150 + CONFIG.hangover)) <= 2
    later = [o for o in outputs if isinstance(o, SegmentStarted | WindowDue) and o.segment > 1]
    assert later == []


def test_both_sides_of_a_cut_are_one_voice() -> None:
    outputs = run([*QUIET, *[PERSON] * 500, *QUIET])
    plain = run([*QUIET, *[PERSON] * 500, *QUIET], replace(CONFIG, confirm=None))
    told = [type(o) for o in outputs if not isinstance(o, WindowDue)]
    assert told == [SegmentStarted, SegmentEnded, SegmentStarted, SegmentEnded]
    assert [(o.start, o.segment) for o in outputs] == [(o.start, o.segment) for o in plain]


def test_behind_a_cut_a_noise_is_none_of_the_voice() -> None:
    person, noise = [PERSON] * (CONFIG.maximum - 60), [DOG] * 300
    outputs = run([*QUIET, *person, *noise, *QUIET])
    started, cut, rejected = (o for o in outputs if not isinstance(o, WindowDue))
    assert isinstance(started, SegmentStarted)
    assert isinstance(cut, SegmentEnded)
    assert cut.continued
    assert isinstance(rejected, SegmentEnded)
    assert rejected.no_final == "not_speech"


def test_a_click_in_a_voice_is_too_short_and_not_rejected() -> None:
    config = replace(CONFIG, minimum=30)
    _, end = run([*QUIET, *[PERSON] * 20, *QUIET], config)
    assert isinstance(end, SegmentEnded)
    assert end.no_final == "too_short"


@pytest.mark.parametrize("threshold", [0.05, 0.75, 0.9])
def test_the_threshold_is_the_one_of_the_settings(threshold: float) -> None:
    config = replace(CONFIG, confirm=threshold)
    for probability in (threshold - 0.04, threshold + 0.04):
        outputs = run([*QUIET, *[Frame(True, probability)] * 90, *QUIET], config)
        assert isinstance(outputs[0], SegmentStarted) == (probability > threshold)
        assert frames(outputs[0].start) == 50 - CONFIG.pre_roll


sounds = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.integers(1, 120)),
    min_size=1,
    max_size=12,
).map(lambda runs: [Frame(spoken, p) for spoken, p, length in runs for _ in range(length)])


@given(sounds)
@settings(deadline=None)
def test_what_is_told_is_in_order_and_shares_nothing(sound: Sound) -> None:
    judged = Judged()
    needed = position = 0
    open_segment: SegmentStarted | None = None
    last = 0
    for frame in [*sound, None]:
        outputs = judged.segmenter.flush() if frame is None else judged.push(frame)
        for output in outputs:
            if isinstance(output, SegmentStarted):
                assert open_segment is None
                assert output.segment > last
                assert output.start >= max(position, needed)
                open_segment, last = output, output.segment
            elif isinstance(output, SegmentEnded) and output.no_final == "not_speech":
                assert open_segment is None
                assert output.segment > last
                assert position <= output.start < output.end
                position, last = output.end, output.segment
            else:
                assert open_segment is not None
                assert output.segment == open_segment.segment
                assert output.start >= max(open_segment.start, needed)
                assert output.speech_probability is not None
                assert 0 <= output.speech_probability <= 1
                if isinstance(output, SegmentEnded):
                    assert output.start == open_segment.start
                    assert output.end - output.start <= CONFIG.maximum * FRAME_SAMPLES
                    open_segment, position = None, output.end
        if frame is not None:
            assert judged.segmenter.needed_from >= needed
            needed = judged.segmenter.needed_from
    assert open_segment is None


@given(sounds)
@settings(deadline=None)
def test_without_confirmation_the_voice_changes_nothing(sound: Sound) -> None:
    config = replace(CONFIG, confirm=None)
    mute = [frame._replace(probability=0.0) for frame in sound]
    assert run(sound, config) == run(mute, config)


@given(sounds)
@example(
    [
        *[Frame(False, 0.0)] * 5,
        *[Frame(True, 1.0)] * 16,
        *[Frame(False, 0.0)] * 21,
        *[Frame(True, 0.0)] * 8,
    ]
)
@settings(deadline=None)
def test_chunks_that_wait_for_more_change_nothing_but_the_last_probability(sound: Sound) -> None:
    whole, waiting = Judged(CONFIG), Judged(CONFIG, at_once=16)
    for frame in sound:
        for expected, found in zip(whole.push(frame), waiting.push(frame), strict=True):
            if not isinstance(expected, SegmentStarted):
                assert not isinstance(found, SegmentStarted)
                spoken = expected.speech_ratio * frames(expected.end - expected.start)
                assert found.speech_probability == pytest.approx(
                    expected.speech_probability, abs=3 / max(1, spoken)
                )
                found = replace(found, speech_probability=expected.speech_probability)
            assert found == expected


@given(sounds, st.sampled_from([None, CONFIG.confirm]))
@settings(deadline=None)
def test_calm_frames_tell_nothing(sound: Sound, confirm: float | None) -> None:
    judged = Judged(replace(CONFIG, confirm=confirm), at_once=16)
    calm_until = 0
    for index, frame in enumerate(sound):
        calm_until = max(calm_until, index + judged.segmenter.calm_frames)
        outputs = judged.push(frame)
        assert index >= calm_until or not outputs


def test_a_voice_that_goes_on_is_calm_between_its_windows() -> None:
    judged = Judged()
    judged.hear([*QUIET, *[PERSON] * 100])
    calm = []
    for _ in range(2 * CONFIG.hop):
        calm.append(judged.segmenter.calm_frames)
        judged.push(PERSON)
    assert max(calm) == min(CONFIG.hop - 1, CONFIG.end)
    assert all(later >= sooner - 1 for sooner, later in pairwise(calm))
