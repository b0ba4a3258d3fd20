"""One stream: any split into blocks gives the same events, gaps are exact, nothing counts twice."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeser.audio.source import SAMPLE_RATE, AudioBlock, Samples
from edgeser.events.schema import EmotionEvent, SpeechEvent
from edgeser.model.model import load_model
from edgeser.settings.schema import DecisionSettings, SettingsError, SpeechSettings
from edgeser.stream import BRIDGED_GAP_SAMPLES, Stream, StreamOutput, Window
from tests.cuts import blocks_of, cuts
from tests.sounds import monologue, noise, silence, speech

MODEL = load_model()
SPEECH = speech()[: 8 * SAMPLE_RATE]


def new_stream(speech: SpeechSettings | None = None, clock: float = 0.0) -> Stream:
    return Stream(
        "test",
        MODEL,
        speech or SpeechSettings(),
        DecisionSettings(),
        clock=lambda: clock,
    )


def run(stream: Stream, blocks: list[Samples], position: int = 0) -> list[StreamOutput]:
    outputs: list[StreamOutput] = []
    for samples in blocks:
        end_s = (position + len(samples)) / SAMPLE_RATE
        outputs += stream.push(AudioBlock(samples, position, end_s))
        position += len(samples)
    return outputs


def described(outputs: list[StreamOutput]) -> list[tuple[object, ...]]:
    return [
        (o.kind, o.segment, o.start, o.end, o.continued, o.quality)
        if isinstance(o, Window)
        else (o.state, o.segment, o.start, o.end)
        for o in outputs
    ]


def finals(outputs: list[StreamOutput]) -> list[Window]:
    return [o for o in outputs if isinstance(o, Window) and o.kind == "final"]


WHOLE = new_stream()
EXPECTED = run(WHOLE, [SPEECH]) + WHOLE.finish()


@given(cuts(len(SPEECH)))
@settings(max_examples=25, deadline=None)
def test_any_split_into_blocks_gives_the_same_windows(where: list[int]) -> None:
    stream = new_stream()
    outputs = run(stream, blocks_of(SPEECH, where)) + stream.finish()
    assert described(outputs) == described(EXPECTED)
    for window, expected in zip(finals(outputs), finals(EXPECTED), strict=True):
        assert np.abs(window.pieces[0] - expected.pieces[0]).max() < 1e-3


def test_it_hears_the_two_utterances() -> None:
    assert len(finals(EXPECTED)) == 2
    states = [o.state for o in EXPECTED if isinstance(o, SpeechEvent)]
    assert states == ["start", "end"] * 2


@pytest.mark.parametrize("sound", [silence(20), noise(20)], ids=["silence", "a quiet room"])
def test_silence_gives_nothing(sound: Samples) -> None:
    stream = new_stream()
    assert run(stream, np.split(sound, 100)) + stream.finish() == []


def test_an_endless_voice_is_cut_at_the_maximum_without_a_hole() -> None:
    stream = new_stream()
    outputs = run(stream, np.split(monologue(30), 300)) + stream.finish()
    segments = finals(outputs)
    assert len(segments) >= 5
    limit = round(MODEL.info.window.max_seconds * SAMPLE_RATE)
    for first, second in pairwise(segments):
        assert first.continued
        assert first.end - first.start <= limit
        assert first.end == second.start


def test_every_window_has_the_shape_of_its_samples() -> None:
    spec = MODEL.info.front_end
    for window in EXPECTED:
        if isinstance(window, Window):
            frames = spec.frame_count(window.end - window.start)
            assert [piece.shape for piece in window.pieces] == [(frames, spec.width)]


def test_a_long_gap_ends_the_segment_and_keeps_the_clock() -> None:
    stream = new_stream()
    first = run(stream, [SPEECH[: SAMPLE_RATE * 2]])
    assert stream.in_speech
    behind = SAMPLE_RATE * 5 + 77  # off every grid
    second = run(stream, [SPEECH], position=behind) + stream.finish()
    ended = next(o for o in second if isinstance(o, SpeechEvent))
    assert ended.state == "end"
    assert ended.end is not None
    assert ended.end <= 2.0
    assert not finals(first)
    starts = [o.start for o in second if isinstance(o, SpeechEvent) and o.state == "start"]
    assert starts[0] >= behind // 320 * 320 / SAMPLE_RATE
    event = decided(stream, finals(second)[-1])
    assert event.lost.samples == behind - 2 * SAMPLE_RATE
    assert decided(stream, finals(second)[-1]).lost.samples == 0


def test_a_short_gap_is_bridged_and_counted() -> None:
    stream = new_stream()
    half = 2 * SAMPLE_RATE
    outputs = run(stream, [SPEECH[:half]])
    gap = BRIDGED_GAP_SAMPLES
    outputs += run(stream, [SPEECH[half + gap :]], position=half + gap) + stream.finish()
    assert len(finals(outputs)) == 2
    assert decided(stream, finals(outputs)[0]).lost.samples == gap


def test_samples_that_come_twice_count_once() -> None:
    stream = new_stream()
    outputs = run(stream, [SPEECH[:20_000]])
    outputs += run(stream, [SPEECH[10_000:20_000]], position=10_000)
    outputs += run(stream, [SPEECH[15_000:]], position=15_000) + stream.finish()
    assert described(outputs) == described(EXPECTED)


def decided(stream: Stream, window: Window) -> EmotionEvent:
    return stream.decide(window, MODEL.scores([window.pieces])[0], window.ready_at)


def test_an_event_says_all_it_should() -> None:
    stream = new_stream(clock=100.0)
    window = finals(run(stream, [SPEECH]))[0]
    stream.dropped(windows=2)
    event = decided(stream, window)
    assert event.start == window.start / SAMPLE_RATE
    assert event.end == window.end / SAMPLE_RATE
    assert event.label in [*MODEL.info.labels, "unknown"]
    assert sum(event.scores.values()) == pytest.approx(1, abs=1e-5)
    assert event.confidence == max(event.scores.values())
    assert event.lost.windows == 2
    assert event.model == MODEL.ref
    assert 0.5 < event.quality.speech_ratio <= 1
    assert event.quality.clipped_ratio == 0
    assert event.quality.snr_db > 20
    assert event.latency_ms.capture == pytest.approx((100 - window.captured_at) * 1000)


def test_clipping_shows_in_the_quality() -> None:
    stream = new_stream()
    loud = np.clip(SPEECH.astype(np.int32) * 20, -32768, 32767).astype(np.int16)
    assert finals(run(stream, [loud]))[0].quality.clipped_ratio > 0.1


def test_memory_does_not_grow_with_the_stream() -> None:
    stream = new_stream()
    sound = np.concatenate((SPEECH, silence(5)))
    held = []
    for turn in range(6):
        run(stream, np.split(sound, 50), position=turn * len(sound))
        held.append(stream._frames.end_sample - stream._frames._first_sample)
    assert max(held) < SAMPLE_RATE


def test_positions_beyond_32_bits_are_exact() -> None:
    stream = new_stream()
    far = 2**33 // 320 * 320
    run(stream, [silence(0.1)])
    outputs = run(stream, np.split(SPEECH, 10), position=far) + stream.finish()
    assert [w.end - w.start for w in finals(outputs)] == [w.end - w.start for w in finals(EXPECTED)]
    assert all(w.start >= far for w in finals(outputs))


def test_settings_that_the_model_cannot_follow_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"speech\.max_seconds: the model takes at most"):
        new_stream(SpeechSettings(max_seconds=MODEL.info.window.max_seconds + 1))
    with pytest.raises(SettingsError, match=r"speech\.window_seconds"):
        new_stream(SpeechSettings(max_seconds=2.0, window_seconds=3.0))


@given(st.integers(0, 400))
@settings(max_examples=20, deadline=None)
def test_finishing_anywhere_keeps_the_last_words(extra: int) -> None:
    stream = new_stream()
    end = 2 * SAMPLE_RATE + extra
    outputs = run(stream, [SPEECH[:end]]) + stream.finish()
    (final,) = finals(outputs)
    assert end - 320 < final.end <= end + 320


def test_a_stream_that_breaks_off_goes_on_without_a_gap_or_a_sample_too_many() -> None:
    stream = new_stream()
    half = 2 * SAMPLE_RATE + 77  # in mid-speech, off every grid
    run(stream, [SPEECH[:half]])
    first = stream.break_off()
    assert not stream.in_speech
    assert stream.position == half
    assert [o.state for o in first if isinstance(o, SpeechEvent)] == ["end"]
    assert stream.break_off() == []
    (final,) = finals(first)
    assert half - 320 <= final.end <= half
    second = run(stream, [SPEECH[half:]], position=half) + stream.finish()
    assert all(o.start >= final.end for o in second if isinstance(o, Window))
    assert decided(stream, finals(second)[-1]).lost.samples == 0


def test_the_smoothed_state_goes_on_in_a_successor_with_what_still_waits() -> None:
    happy = np.eye(len(MODEL.info.labels), dtype=np.float32)[0]
    label = MODEL.info.labels[0]
    first = new_stream()
    window = finals(run(first, [SPEECH]))[0]
    first.decide(window, happy * 0.3 + 0.2, 0.0)
    tame = DecisionSettings(smoothing_weight=0.1, smoothing_margin=0.3)
    second = first.successor(MODEL, SpeechSettings(), tame)
    for _ in range(20):
        first.decide(window, happy, 0.0)  # it waited for the model meanwhile
    assert second.decide(window, happy, 0.0).smoothed.label == label
    third = second.successor(MODEL, SpeechSettings(), tame)
    assert third.decide(window, 1 - happy, 0.0).smoothed.label == label


def test_a_successor_carries_on_where_the_stream_stopped() -> None:
    first = new_stream()
    half = 4 * SAMPLE_RATE + 77  # between the utterances, off every grid
    outputs = run(first, [SPEECH[:half]])
    assert not first.in_speech
    decided(first, finals(outputs)[0])
    first.dropped(windows=1)
    second = first.successor(MODEL, SpeechSettings(hop_seconds=1.0), DecisionSettings())
    outputs += run(second, [SPEECH[half:]], position=half) + second.finish()
    assert [(w.start, w.end) for w in finals(outputs)] == [
        (w.start, w.end) for w in finals(EXPECTED)
    ]
    assert [o.segment for o in outputs if isinstance(o, SpeechEvent)] == [1, 1, 2, 2]
    event = decided(second, finals(outputs)[1])
    assert event.lost.windows == 1
