"""Any split into blocks gives the same windows, gaps are exact, and nothing counts twice."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeser.audio.source import AudioBlock
from edgeser.bench.mix import mixed, pink, quietest
from edgeser.daemon.intake import MAX_SPEECH_BLOCK_FRAMES
from edgeser.events.schema import Lost, SpeechEvent
from edgeser.hearing import BRIDGED_GAP_SAMPLES, Hearing, HearingOutput, HearingState
from edgeser.losses import Losses
from edgeser.model.model import load_model
from edgeser.pcm import FRAME_SAMPLES, SAMPLE_RATE, Samples
from edgeser.settings.schema import SettingsError, SpeechSettings
from edgeser.speech.segmenter import Segmenter
from edgeser.speech.vad import level_dbfs
from edgeser.window import Window
from tests.cuts import blocks_of, cuts
from tests.sounds import monologue, noise, silence, speech

MODEL = load_model("voices6")  # of windows, which can be looked into
SPEECH = speech()[: 8 * SAMPLE_RATE]


def new_hearing(speech: SpeechSettings | None = None, losses: Losses | None = None) -> Hearing:
    return Hearing("test", MODEL, speech or SpeechSettings(), losses or Losses(), clock=lambda: 0.0)


def run(hearing: Hearing, blocks: list[Samples], position: int = 0) -> list[HearingOutput]:
    outputs: list[HearingOutput] = []
    for samples in blocks:
        end_s = (position + len(samples)) / SAMPLE_RATE
        outputs += hearing.push(AudioBlock(samples, position, end_s))
        position += len(samples)
    return outputs


def described(outputs: list[HearingOutput]) -> list[tuple[object, ...]]:
    return [
        (o.kind, o.segment, o.start, o.end, o.continued, o.quality)
        if isinstance(o, Window)
        else (o.state, o.segment, o.start, o.end)
        for o in outputs
    ]


def finals(outputs: list[HearingOutput]) -> list[Window]:
    return [o for o in outputs if isinstance(o, Window) and o.kind == "final"]


WHOLE = new_hearing()
EXPECTED = run(WHOLE, [SPEECH]) + WHOLE.finish()


@given(cuts(len(SPEECH)))
@settings(max_examples=25, deadline=None)
def test_any_split_into_blocks_gives_the_same_windows(where: list[int]) -> None:
    hearing = new_hearing()
    outputs = run(hearing, blocks_of(SPEECH, where)) + hearing.finish()
    assert described(outputs) == described(EXPECTED)
    for window, expected in zip(finals(outputs), finals(EXPECTED), strict=True):
        assert np.abs(window.speech[0] - expected.speech[0]).max() < 1e-3


def test_it_hears_the_two_utterances() -> None:
    assert len(finals(EXPECTED)) == 2
    states = [o.state for o in EXPECTED if isinstance(o, SpeechEvent)]
    assert states == ["start", "end"] * 2


@pytest.mark.parametrize("sound", [silence(20), noise(20)], ids=["silence", "a quiet room"])
def test_silence_gives_nothing(sound: Samples) -> None:
    hearing = new_hearing()
    assert run(hearing, np.split(sound, 100)) + hearing.finish() == []


def test_an_endless_voice_is_cut_at_the_maximum_without_a_hole() -> None:
    hearing = new_hearing()
    outputs = run(hearing, np.split(monologue(30), 300)) + hearing.finish()
    segments = finals(outputs)
    assert len(segments) >= 5
    limit = round(MODEL.info.window.max_seconds * SAMPLE_RATE)
    for first, second in pairwise(segments):
        assert (first.continued, first.end) == (True, second.start)
        assert first.end - first.start <= limit
    assert not any(o.continued for o in outputs if isinstance(o, Window) and o.kind == "partial")


def test_every_window_has_the_shape_of_its_samples() -> None:
    spec = MODEL.info.front_end
    for window in EXPECTED:
        if isinstance(window, Window):
            frames = spec.frame_count(window.end - window.start)
            assert [piece.shape for piece in window.speech] == [(frames, spec.width)]


def test_a_long_gap_ends_the_segment_and_keeps_the_clock() -> None:
    losses = Losses()
    hearing = new_hearing(losses=losses)
    first = run(hearing, [SPEECH[: SAMPLE_RATE * 2]])
    assert hearing.in_speech
    behind = SAMPLE_RATE * 5 + 77  # off every grid
    second = run(hearing, [SPEECH], position=behind) + hearing.finish()
    ended = next(o for o in second if isinstance(o, SpeechEvent))
    assert ended.state == "end"
    assert ended.end is not None
    assert ended.end <= 2.0
    assert not finals(first)
    starts = [o.start for o in second if isinstance(o, SpeechEvent) and o.state == "start"]
    assert starts[0] >= behind // 320 * 320 / SAMPLE_RATE
    assert losses.take() == Lost(samples=behind - 2 * SAMPLE_RATE)
    assert losses.take() == Lost()


def test_a_short_gap_is_bridged_and_counted() -> None:
    losses = Losses()
    hearing = new_hearing(losses=losses)
    half, gap = 2 * SAMPLE_RATE, BRIDGED_GAP_SAMPLES
    outputs = run(hearing, [SPEECH[:half]])
    outputs += run(hearing, [SPEECH[half + gap :]], position=half + gap) + hearing.finish()
    assert [(w.start, w.end) for w in finals(outputs)] == [
        (w.start, w.end) for w in finals(EXPECTED)
    ]
    assert hearing.position == len(SPEECH)
    assert losses.take() == Lost(samples=gap)


def test_samples_that_come_twice_count_once() -> None:
    hearing = new_hearing()
    outputs = run(hearing, [SPEECH[:20_000]])
    outputs += run(hearing, [SPEECH[10_000:20_000]], position=10_000)
    outputs += run(hearing, [SPEECH[15_000:]], position=15_000) + hearing.finish()
    assert described(outputs) == described(EXPECTED)


def test_clipping_shows_in_the_quality() -> None:
    hearing = new_hearing()
    loud = np.clip(SPEECH.astype(np.int32) * 20, -32768, 32767).astype(np.int16)
    final = finals(run(hearing, [loud]))[0]
    at_full_scale = np.abs(loud[final.start : final.end].astype(int)) >= 32767
    assert final.quality.clipped_ratio == pytest.approx(at_full_scale.mean(), abs=1e-6)


def test_memory_does_not_grow_with_the_stream() -> None:
    hearing = new_hearing()
    sound = np.concatenate((SPEECH, silence(5)))
    held = []
    for turn in range(6):
        run(hearing, np.split(sound, 50), position=turn * len(sound))
        held.append(hearing._frames.end_sample - hearing._frames._first_sample)
    assert max(held) < 3 * SAMPLE_RATE


def test_positions_beyond_32_bits_are_exact() -> None:
    hearing = new_hearing()
    far = 2**33 // 320 * 320
    run(hearing, [silence(0.1)])
    outputs = run(hearing, np.split(SPEECH, 10), position=far) + hearing.finish()
    assert [w.end - w.start for w in finals(outputs)] == [w.end - w.start for w in finals(EXPECTED)]
    assert all(w.start >= far for w in finals(outputs))


def test_a_window_says_when_what_it_needed_was_captured_and_came() -> None:
    now = [0.0]
    hearing = Hearing("test", MODEL, SpeechSettings(), Losses(), clock=lambda: now[0])
    outputs: list[HearingOutput] = []
    for end_s, second in enumerate(np.split(SPEECH, 8), 1):
        now[0] = end_s + 0.25
        outputs += run(hearing, [second], hearing.position)
    silence_s = 0.4  # behind a final; then its segment has ended
    for window in (o for o in outputs if isinstance(o, Window)):
        needed_s = window.end / SAMPLE_RATE + (silence_s if window.kind == "final" else 0)
        assert window.captured_at == pytest.approx(needed_s)
        times = {window.arrived_at, window.cut_at, window.ready_at}
        assert times == {ceil(window.captured_at) + 0.25}


def test_settings_that_the_model_cannot_follow_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"speech\.max_seconds: the model takes at most"):
        new_hearing(SpeechSettings(max_seconds=MODEL.info.window.max_seconds + 1))
    with pytest.raises(SettingsError, match=r"speech\.window_seconds"):
        new_hearing(SpeechSettings(max_seconds=2.0, window_seconds=3.0))


@given(st.integers(0, 400))
@settings(max_examples=20, deadline=None)
def test_finishing_anywhere_keeps_the_last_words(extra: int) -> None:
    hearing = new_hearing()
    end = 2 * SAMPLE_RATE + extra
    outputs = run(hearing, [SPEECH[:end]]) + hearing.finish()
    (final,) = finals(outputs)
    assert end <= final.end < end + 320
    assert final.captured_at <= end / SAMPLE_RATE  # what fills the last frame was never captured


def test_a_stream_that_breaks_off_goes_on_without_a_gap_or_a_sample_too_many() -> None:
    losses = Losses()
    hearing = new_hearing(losses=losses)
    half = 2 * SAMPLE_RATE + 77  # in mid-speech, off every grid
    run(hearing, [SPEECH[:half]])
    first = hearing.end_segment()
    assert not hearing.in_speech
    assert hearing.position == half
    assert [o.state for o in first if isinstance(o, SpeechEvent)] == ["end"]
    assert hearing.end_segment() == []
    (final,) = finals(first)
    assert half - 320 <= final.end <= half
    second = run(hearing, [SPEECH[half:]], position=half) + hearing.finish()
    assert all(o.start >= final.end for o in second if isinstance(o, Window))
    assert losses.take() == Lost()


def test_a_successor_carries_on_where_its_predecessor_stopped() -> None:
    losses = Losses()
    first = new_hearing(losses=losses)
    half = 4 * SAMPLE_RATE + 77  # between the utterances, off every grid
    outputs = run(first, [SPEECH[:half]])
    assert not first.in_speech
    losses.add(windows=1)
    second = first.successor(MODEL, SpeechSettings(hop_seconds=1.0))
    outputs += run(second, [SPEECH[half:]], position=half) + second.finish()
    assert [(w.start, w.end) for w in finals(outputs)] == [
        (w.start, w.end) for w in finals(EXPECTED)
    ]
    assert [o.segment for o in outputs if isinstance(o, SpeechEvent)] == [1, 1, 2, 2]
    assert losses.take() == Lost(windows=1)


def barks(seconds: float, rough: float = 0.7) -> Samples:
    """What WebRTC VAD takes for speech, and is none: bursts of a gliding buzz, a dog's pace.

    ``rough``: amplitude of the noise in them. With 0.7 they are as harmonic as barks are, 1 dB.
    """
    time_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    in_burst = time_s % 0.5
    pitch = 2 * np.pi * (700 * in_burst - 900 * in_burst**2)
    buzz = np.sum([np.sin(k * pitch) / k for k in range(1, 6)], axis=0)
    breath = rough * np.random.default_rng(1).standard_normal(len(buzz))
    return ((buzz + breath) * np.exp(-12 * in_burst) * 9000).astype(np.int16)


PLAIN = SpeechSettings(confirm=False)
ROOM = noise(2)


def test_the_vad_takes_barks_for_speech_and_the_voice_detector_does_not() -> None:
    sound = np.concatenate((ROOM, barks(4), ROOM))
    plain = new_hearing(PLAIN)
    assert finals(run(plain, [sound]) + plain.finish())
    hearing = new_hearing()
    outputs = run(hearing, np.split(sound, 40)) + hearing.finish()
    assert outputs
    for event in outputs:
        assert isinstance(event, SpeechEvent)
        assert (event.state, event.has_final, event.reason) == ("end", False, "not_speech")


@given(cuts(8 * SAMPLE_RATE))
@settings(max_examples=5, deadline=None)
def test_what_is_as_harmonic_as_a_voice_is_told_whole_and_the_same_in_any_split(
    where: list[int],
) -> None:
    sound = np.concatenate((ROOM, barks(4, rough=0.0), ROOM))
    hearing, whole, plain = new_hearing(), new_hearing(), new_hearing(PLAIN)
    outputs = run(hearing, blocks_of(sound, where)) + hearing.finish()
    (final,) = finals(outputs)
    assert final.quality.speech_probability is not None
    assert final.quality.speech_probability < 0.5
    assert described(outputs) == described(run(whole, [sound]) + whole.finish())
    (bare,) = finals(run(plain, [sound]) + plain.finish())
    assert (final.start, final.end) == (bare.start, bare.end)


def test_who_speaks_after_barks_is_heard_from_where_they_begin() -> None:
    sound = np.concatenate((ROOM, barks(3), SPEECH[: 3 * SAMPLE_RATE], silence(1)))
    hearing = new_hearing()
    outputs = run(hearing, np.split(sound, 90)) + hearing.finish()
    starts = [o.start for o in outputs if isinstance(o, SpeechEvent) and o.state == "start"]
    (final,) = finals(outputs)
    assert starts == [final.start / SAMPLE_RATE]
    assert 4.3 <= starts[0] <= 5.3
    assert final.quality.speech_probability is not None
    assert final.quality.speech_probability > 0.5


def test_confirmation_changes_no_segment_of_a_voice_and_no_window() -> None:
    plain = new_hearing(PLAIN)
    without = run(plain, [SPEECH]) + plain.finish()
    cut = [
        [(o.kind, o.start, o.end) for o in found if isinstance(o, Window)]
        for found in (without, EXPECTED)
    ]
    assert cut[0] == cut[1]
    assert all(o.quality.speech_probability is None for o in without if isinstance(o, Window))


NEVER_AT_FIRST = SpeechSettings(confirm_probability=1.0)
"""No mean of a first hearing is as sure; a second one need not be."""


@given(cuts(len(SPEECH)))
@settings(max_examples=5, deadline=None)
def test_a_voice_of_the_second_hearing_is_whole_and_the_same_in_any_split(where: list[int]) -> None:
    hearing, plain = new_hearing(NEVER_AT_FIRST), new_hearing(PLAIN)
    outputs = run(hearing, blocks_of(SPEECH, where)) + hearing.finish()
    without = run(plain, [SPEECH]) + plain.finish()
    told = [(type(o), o.start, o.end) for o in outputs]
    bare = [o for o in without if not (isinstance(o, Window) and o.kind == "partial")]
    assert told == [(type(o), o.start, o.end) for o in bare]
    whole = new_hearing(NEVER_AT_FIRST)
    assert described(outputs) == described(run(whole, [SPEECH]) + whole.finish())


def in_noise(sound: Samples, snr_db: float) -> tuple[Samples, HearingState]:
    """Speech in pink noise, which has been there for long."""
    sound = np.concatenate((silence(2), sound, silence(1)))
    spoken = [(2 * SAMPLE_RATE, len(sound) - SAMPLE_RATE)]
    noisy = mixed(sound, spoken, pink(np.random.default_rng(1), len(sound)), snr_db)
    return noisy, HearingState(floor_dbfs=level_dbfs(quietest(noisy[: 2 * SAMPLE_RATE])))


@given(cuts(9 * SAMPLE_RATE))
@settings(max_examples=4, deadline=None)
def test_in_loud_noise_speech_is_heard_and_the_same_in_any_split(where: list[int]) -> None:
    sound, room = in_noise(SPEECH[: 6 * SAMPLE_RATE], snr_db=0)
    plain, whole, hearing = (
        Hearing("test", MODEL, speech, Losses(), begin=room, clock=lambda: 0.0)
        for speech in (PLAIN, SpeechSettings(), SpeechSettings())
    )
    expected = run(whole, [sound]) + whole.finish()
    outputs = run(hearing, blocks_of(sound, where)) + hearing.finish()
    assert described(outputs) == described(expected)
    missed = run(plain, [sound]) + plain.finish()
    heard_s, missed_s = (
        sum(final.end - final.start for final in finals(found)) / SAMPLE_RATE
        for found in (outputs, missed)
    )
    assert heard_s > 3 > 1 > missed_s


def test_a_start_is_told_before_the_first_partial_of_its_segment() -> None:
    kinds = [o.state if isinstance(o, SpeechEvent) else o.kind for o in EXPECTED]
    assert kinds.index("start") < kinds.index("partial")


def test_what_is_skipped_ends_the_segment_and_time_goes_on() -> None:
    losses = Losses()
    hearing = new_hearing(losses=losses)
    half = 2 * SAMPLE_RATE + 77
    run(hearing, [SPEECH[:half]])
    outputs = hearing.skip(AudioBlock(SPEECH[half : 2 * half], half, 0.0))
    assert [o.kind for o in outputs if isinstance(o, Window)] == ["final"]
    assert not hearing.is_open
    assert hearing.skip(AudioBlock(SPEECH[:half], 0, 0.0)) == []
    assert hearing.position == 2 * half
    behind = run(hearing, [SPEECH[2 * half :]], position=2 * half) + hearing.finish()
    assert all(o.start >= 2 * half - 320 for o in behind if isinstance(o, Window))
    assert losses.take() == Lost()


def test_nothing_is_heard_of_what_is_skipped() -> None:
    hearing = new_hearing()
    outputs: list[HearingOutput] = []
    for i, block in enumerate(np.split(SPEECH, 50)):
        outputs += hearing.skip(AudioBlock(block, i * len(block), 0.0))
    assert outputs + hearing.finish() == []
    assert hearing.position == len(SPEECH)


def test_in_speech_every_block_may_be_as_long_as_nothing_is_told() -> None:
    hearing = new_hearing()
    outputs: list[HearingOutput] = []
    lengths = []
    while hearing.position < len(SPEECH):
        frames = max(1, min(hearing.calm_frames, MAX_SPEECH_BLOCK_FRAMES))
        end = hearing.position + frames * FRAME_SAMPLES
        lengths.append(min(end, len(SPEECH)) - hearing.position)
        told = run(hearing, [SPEECH[hearing.position : end]], hearing.position)
        assert not told or lengths[-1] == FRAME_SAMPLES
        outputs += told
    assert described(outputs + hearing.finish()) == described(EXPECTED)
    assert sum(length for length in lengths if length > FRAME_SAMPLES) > len(SPEECH) / 3


def test_chunks_that_wait_for_others_change_no_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for awaits in (Segmenter.awaits_every_chunk, property(lambda segmenter: True)):
        monkeypatch.setattr(Segmenter, "awaits_every_chunk", awaits)
        hearing = new_hearing()
        outputs = run(hearing, np.split(SPEECH[: 7 * SAMPLE_RATE], 350))  # breaks off in a word
        found.append([row[:4] for row in described(outputs + hearing.finish())])
    assert found[0] == found[1]
    assert sum(row[0] == "final" for row in found[0]) == 2
