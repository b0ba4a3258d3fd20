"""The segmenter keeps its promises for any sequence of frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeser.pcm import FRAME_SAMPLES
from edgeser.speech.config import SegmenterConfig
from edgeser.speech.outputs import SegmentEnded, SegmenterOutput, SegmentStarted, WindowDue
from edgeser.speech.segmenter import Segmenter
from edgeser.speech.vad import VadFrame

CONFIG = SegmenterConfig(
    start_snr_db=9,
    end_snr_db=5,
    start=3,
    start_within=5,
    pre_roll=4,
    end=6,
    hangover=4,
    minimum=4,
    maximum=40,
    window=20,
    window_minimum=8,
    hop=5,
)


def frame(index: int, speech: bool, level_dbfs: float = -20.0) -> VadFrame:
    return VadFrame(index * FRAME_SAMPLES, speech, level_dbfs, level_dbfs - 20)


def run(speech: list[bool], config: SegmenterConfig = CONFIG) -> list[SegmenterOutput]:
    segmenter = Segmenter(config)
    outputs = [o for i, s in enumerate(speech) for o in segmenter.push(frame(i, s))]
    return outputs + segmenter.flush()


def ended(outputs: list[SegmenterOutput]) -> list[SegmentEnded]:
    return [o for o in outputs if isinstance(o, SegmentEnded)]


speech_patterns = st.lists(
    st.tuples(st.booleans(), st.integers(1, 30)), min_size=1, max_size=15
).map(lambda runs: [speech for speech, length in runs for _ in range(length)])


def test_one_utterance_has_its_exact_pre_roll_and_hangover() -> None:
    outputs = run([False] * 20 + [True] * 10 + [False] * 20)
    assert outputs[0] == SegmentStarted(1, (20 - CONFIG.pre_roll) * FRAME_SAMPLES)
    (end,) = ended(outputs)
    assert end.start == (20 - CONFIG.pre_roll) * FRAME_SAMPLES
    assert end.end == (30 + CONFIG.hangover) * FRAME_SAMPLES
    assert end.no_final is None
    assert not end.continued
    assert end.speech_ratio == pytest.approx(10 / (10 + CONFIG.pre_roll + CONFIG.hangover))


def test_the_end_is_known_as_soon_as_the_silence_is_long_enough() -> None:
    segmenter = Segmenter(CONFIG)
    speech = [True] * 10 + [False] * CONFIG.end
    outputs = [segmenter.push(frame(i, s)) for i, s in enumerate(speech)]
    assert ended(outputs[-1])
    assert not any(ended(o) for o in outputs[:-1])


def test_silence_gives_nothing() -> None:
    assert run([False] * 500) == []


def test_taps_do_not_start_a_segment() -> None:
    assert run(([True] * (CONFIG.start - 1) + [False] * 10) * 20) == []


def test_what_was_heard_before_a_segment_ended_does_not_begin_the_next() -> None:
    taps = [True] * (CONFIG.start - 1) + [False] * 10
    assert len(ended(run([True] * 10 + [False] * CONFIG.end + taps))) == 1


def test_what_is_shorter_than_the_minimum_is_not_heard() -> None:
    for spoken, heard in ((CONFIG.minimum - 1, "too_short"), (CONFIG.minimum, None)):
        (end,) = ended(run([False] * 9 + [True] * spoken + [False] * 20))
        assert end.no_final == heard


def test_a_quiet_voice_goes_on_but_does_not_begin() -> None:
    quiet = [VadFrame(i * FRAME_SAMPLES, True, -40, -47) for i in range(20)]
    segmenter = Segmenter(CONFIG)
    assert [o for f in quiet for o in segmenter.push(f)] == []
    segmenter = Segmenter(CONFIG)
    outputs = [o for i in range(5) for o in segmenter.push(frame(i, True))]
    outputs += [
        o for i in range(5, 20) for o in segmenter.push(VadFrame(i * FRAME_SAMPLES, True, -40, -47))
    ]
    assert not ended(outputs)
    assert segmenter.in_speech


def test_a_long_segment_is_cut_at_its_quietest_point() -> None:
    segmenter = Segmenter(CONFIG)
    outputs: list[SegmenterOutput] = []
    for i in range(60):
        outputs += segmenter.push(frame(i, True, -50.0 if 29 <= i <= 31 else -20.0))
    first = ended(outputs)[0]
    assert first.continued
    assert first.no_final is None
    assert first.end == 30 * FRAME_SAMPLES
    following = next(o for o in outputs if isinstance(o, SegmentStarted) and o.segment == 2)
    assert following.start == first.end


def test_the_rest_behind_a_cut_is_heard_however_short() -> None:
    outputs = run([True] * (CONFIG.maximum + 1) + [False] * 20)
    rest = ended(outputs)[-1]
    assert rest.no_final is None
    assert not rest.continued


def test_a_rest_behind_a_cut_in_which_nothing_is_said_is_too_short() -> None:
    whole = [True] * (CONFIG.maximum - 2) + [False] * 20
    first, rest = ended(run(whole))
    assert first.continued
    assert rest.no_final == "too_short"


def test_a_flush_ends_the_open_segment_with_what_there_is() -> None:
    (end,) = ended(run([False] * 10 + [True] * 10))
    assert end.end == 20 * FRAME_SAMPLES


def test_windows_grow_to_full_length_and_come_every_hop() -> None:
    windows = [o for o in run([True] * 36) if isinstance(o, WindowDue)]
    ends = [w.end // FRAME_SAMPLES for w in windows]
    assert ends == [8, 13, 18, 23, 28, 33]
    assert [(w.end - w.start) // FRAME_SAMPLES for w in windows] == [8, 13, 18, 20, 20, 20]


@given(speech_patterns)
def test_invariants(speech: list[bool]) -> None:
    outputs = run(speech)
    segments = ended(outputs)
    total = len(speech) * FRAME_SAMPLES
    position = 0
    for number, segment in enumerate(segments, start=1):
        assert segment.segment == number
        assert position <= segment.start < segment.end <= total
        assert segment.end - segment.start <= CONFIG.maximum * FRAME_SAMPLES
        assert 0 <= segment.speech_ratio <= 1
        position = segment.end
        frames = speech[segment.start // FRAME_SAMPLES : segment.end // FRAME_SAMPLES]
        if not segment.continued and segment.end < total:
            # It ends with the whole hangover, and not a frame more, in a long silence.
            last = segment.end // FRAME_SAMPLES
            spoken = last - CONFIG.hangover
            assert not any(speech[spoken : spoken + CONFIG.end])
            assert not frames[: -CONFIG.hangover] or speech[spoken - 1]
    started = [o for o in outputs if isinstance(o, SegmentStarted)]
    assert [(o.segment, o.start) for o in started] == [(s.segment, s.start) for s in segments]
    for window in (o for o in outputs if isinstance(o, WindowDue)):
        segment = segments[window.segment - 1]
        assert segment.start <= window.start < window.end
        assert window.end <= segment.end or segment.continued
        assert window.end - window.start <= CONFIG.window * FRAME_SAMPLES


@given(speech_patterns, speech_patterns)
def test_a_gap_shares_nothing_across_it(before: list[bool], after: list[bool]) -> None:
    segmenter = Segmenter(CONFIG)
    first = [o for i, s in enumerate(before) for o in segmenter.push(frame(i, s))]
    first += segmenter.flush()
    behind = len(before) + 100
    segmenter.restart(behind * FRAME_SAMPLES)
    second = [o for i, s in enumerate(after) for o in segmenter.push(frame(behind + i, s))]
    second += segmenter.flush()
    assert all(s.end <= len(before) * FRAME_SAMPLES for s in ended(first))
    assert all(s.start >= behind * FRAME_SAMPLES for s in ended(second))


@given(speech_patterns)
def test_nothing_needed_later_is_forgotten(speech: list[bool]) -> None:
    segmenter = Segmenter(CONFIG)
    needed_from = 0
    for i, s in enumerate(speech):
        for output in segmenter.push(frame(i, s)):
            assert output.start >= needed_from
        assert segmenter.needed_from >= needed_from
        needed_from = segmenter.needed_from


def test_a_contradictory_config_is_refused() -> None:
    with pytest.raises(ValueError, match="maximum is shorter"):
        SegmenterConfig(9, 5, 3, 5, 4, 6, 4, 4, 10, 20, 8, 5)


@given(st.lists(st.booleans(), max_size=200))
def test_without_a_hangover_the_rest_after_a_cut_may_be_empty(speech: list[bool]) -> None:
    tight = SegmenterConfig(9, 5, 5, 10, 10, 15, 0, 0, 45, 25, 25, 5)
    for output in run([True] * 45 + speech, tight):
        if isinstance(output, SegmentEnded):
            assert output.start <= output.end
            assert 0 <= output.speech_ratio <= 1
    rest = run([True] * 45 + [False] * 60, tight)[-1]
    assert isinstance(rest, SegmentEnded)
