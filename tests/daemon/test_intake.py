"""An intake tells what happened once, summed up, and how its stream is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edgeser.audio.source import AudioBlock, AudioFault, SourceError
from edgeser.daemon import intake as intake_module
from edgeser.daemon.backlog import Backlog
from edgeser.daemon.intake import MAX_SPEECH_BLOCK_FRAMES, QUIET_BLOCK_FRAMES, Intake
from edgeser.daemon.mute import Mute
from edgeser.daemon.reporter import StreamReporter
from edgeser.events.schema import Event, FaultEvent, SpeechEvent
from edgeser.features.baseline import Baseline
from edgeser.hearing import Hearing
from edgeser.losses import Losses
from edgeser.model.model import Model, load_model
from edgeser.pcm import FRAME_SAMPLES, SAMPLE_RATE, Samples
from edgeser.settings.schema import SpeechSettings
from edgeser.window import Window
from tests.sounds import monologue, noise, speech

MODEL = load_model()


class Played:
    """A live source that gives what it was made of."""

    name = "played"
    live = True
    restarts = 0
    frames_at_once = 1
    block_size_is_immediate = False

    def __init__(self, *items: AudioBlock | AudioFault) -> None:
        self.items = items

    def blocks(self) -> Iterator[AudioBlock | AudioFault]:
        yield from self.items

    def close(self) -> None:
        """Nothing to close."""


def heard(*items: AudioBlock | AudioFault) -> tuple[Intake, Backlog, list[Event]]:
    return heard_from(Played(*items))


def heard_from(source: Played) -> tuple[Intake, Backlog, list[Event]]:
    events: list[Event] = []
    backlog = Backlog()
    losses = Losses()
    hearing = Hearing("played", MODEL, SpeechSettings(), losses)
    intake = Intake(source, hearing, StreamReporter("played", losses, events.append), backlog)
    backlog.close()
    backlog.abandon()  # nobody works here: do not wait for it
    intake.listen()
    return intake, backlog, events


class Obeying(Played):
    """A live source that hands over as many frames of a sound at once as it is told to."""

    def __init__(self, sound: Samples) -> None:
        super().__init__()
        self.sound = sound
        self.given: list[tuple[int, int]] = []  # first sample and length of every block

    def blocks(self) -> Iterator[AudioBlock]:
        position = 0
        while position < len(self.sound):
            samples = self.sound[position : position + self.frames_at_once * FRAME_SAMPLES]
            self.given.append((position, len(samples)))
            yield AudioBlock(samples, position, position / SAMPLE_RATE)
            position += len(samples)


def blocks(seconds: float) -> list[AudioBlock]:
    pieces = np.split(monologue(seconds), 50)
    return [AudioBlock(piece, i * len(piece), 0.0) for i, piece in enumerate(pieces)]


def faults(events: list[Event]) -> list[FaultEvent]:
    return [event for event in events if isinstance(event, FaultEvent)]


def test_dropped_partials_are_told_once_and_summed_up() -> None:
    intake, _, events = heard(*blocks(4))
    assert not faults(events)
    intake.reporter.report_failures()
    told = faults(events)
    assert {fault.code for fault in told} == {"window_dropped"}
    assert sum(intake.reporter.drops.values()) == intake.counters.dropped_windows > 3
    assert [fault.message for fault in told] == [
        f"{windows} partial windows dropped: {reason}"
        for reason, windows in intake.reporter.drops.items()
    ]
    intake.reporter.report_failures()
    assert faults(events) == told


def test_sound_at_the_wrong_pace_is_a_state_until_it_is_over() -> None:
    (block, *_) = blocks(4)
    intake, _, _ = heard(block, AudioFault("audio_pace", "too fast", recovered=False))
    intake.ended.clear()
    assert (intake.state, intake.lost) == ("degraded", None)
    assert intake.status(stopping=False).wrong_pace
    intake.hear(AudioFault("audio_overflow", "samples were dropped", recovered=True))
    assert intake.wrong_pace
    intake.hear(AudioFault("audio_pace", "right again", recovered=True))
    assert intake.state != "degraded"
    assert not intake.status(stopping=False).wrong_pace


def test_failed_inference_is_summed_up() -> None:
    intake, backlog, events = heard(*blocks(4))
    (batch,) = [backlog.get()]
    for _ in range(3):
        intake.reporter.failed(batch[0], RuntimeError("out of luck"))
    intake.reporter.report_failures()
    (fault,) = [f for f in faults(events) if f.code == "inference_failed"]
    assert fault.message == f"3 windows without scores, {batch[0].kind}: out of luck"
    assert not fault.recovered


def test_a_level_is_of_the_time_since_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    loud, quiet = (np.full(16_000, value, np.int16) for value in (8_000, 80))
    intake, _, _ = heard(AudioBlock(loud, 0, 0.0))
    monkeypatch.setattr(intake_module, "LEVELS_WANTED_FOR_S", 60.0)
    assert intake.level().level_dbfs is None
    intake.hear(AudioBlock(quiet, 16_000, 0.0))
    assert intake.level().level_dbfs == pytest.approx(20 * np.log10(80 / 32_768), abs=0.1)
    intake.hear(AudioBlock(loud, 32_000, 0.0))
    monkeypatch.setattr(intake_module, "LEVELS_WANTED_FOR_S", 0.0)
    assert intake.level().level_dbfs is None


def test_faults_of_the_source_are_published_in_order() -> None:
    lost = AudioFault("audio_lost", "gone", recovered=False)
    restored = AudioFault("audio_restored", "back", recovered=True)
    first, second = blocks(2)[:2]
    jumped = AudioBlock(second.samples, second.first_sample + 32_000, 0.0)
    intake, _, events = heard(first, lost, restored, jumped)
    assert [f.code for f in faults(events)] == ["audio_lost", "audio_restored"]
    assert intake.counters.lost_samples == 32_000
    assert intake.counters.samples == len(first.samples) + len(second.samples)
    assert intake.counters.faults == 2


def test_a_lost_source_ends_the_open_segment_at_once_and_once_only() -> None:
    lost = AudioFault("audio_lost", "gone", recovered=False)
    restored = AudioFault("audio_restored", "back", recovered=True)
    sound = monologue(4)
    before = [AudioBlock(sound[i : i + 333], i, 0.0) for i in range(0, 40_000, 333)]
    first = before[-1].end_sample + 80_001
    again = AudioBlock(monologue(2), first, 0.0)
    intake, backlog, events = heard(*before, lost)
    assert [told(event) for event in events][-2:] == ["speech end", "fault audio_lost"]
    intake, backlog, events = heard(*before, lost, restored, again)
    assert [told(event) for event in events] == [
        "speech start",
        "speech end",
        "fault audio_lost",
        "fault audio_restored",
        "speech start",
        "speech end",
    ]
    assert [window.segment for window in taken(backlog)] == [1, 2]
    assert intake.counters.lost_samples == 80_001


def test_a_model_that_waits_for_sound_is_said_to_be_the_one_that_judges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("edgeser.daemon.intake.time.monotonic", lambda: now[0])
    other = load_model("lightweight-emodb")
    losses, backlog = Losses(), Backlog()
    backlog.abandon()
    hearing = Hearing("played", MODEL, SpeechSettings(), losses)
    intake = Intake(Played(), hearing, StreamReporter("played", losses, lambda _: None), backlog)

    def judging() -> str:
        return intake.status(stopping=False).model.name

    intake.renew(other, SpeechSettings(), lambda _: None)
    assert judging() == MODEL.ref.name  # sound may come at any moment
    now[0] += intake_module.DEAF_AFTER_S + 0.1
    assert judging() == other.ref.name
    intake.hear(AudioBlock(monologue(4)[: 2 * SAMPLE_RATE], 0, 0.0))  # speech begins in it
    assert intake.hearing.in_speech
    assert intake.hearing.model is other
    intake.renew(MODEL, SpeechSettings(), lambda _: None)
    now[0] += intake_module.DEAF_AFTER_S + 0.1
    assert judging() == other.ref.name  # the open segment is still its own


def told(event: Event) -> str:
    if isinstance(event, SpeechEvent):
        return f"speech {event.state}"
    assert isinstance(event, FaultEvent)
    return f"fault {event.code}"


def taken(backlog: Backlog) -> list[Window]:
    windows: list[Window] = []
    while batch := backlog.get():
        windows += batch
        backlog.done()
    return windows


def test_a_reload_that_comes_while_another_is_put_in_force_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[Event] = []
    backlog = Backlog()
    backlog.abandon()
    losses = Losses()
    asked = iter([SpeechSettings(hop_seconds=1.0), SpeechSettings(hop_seconds=2.0)])
    wanted: list[SpeechSettings] = []

    def ask() -> None:
        wanted.append(next(asked))
        intake.renew(MODEL, wanted[-1], lambda _: None)

    def publish(event: Event) -> None:
        events.append(event)
        if told(event) == "speech end" and len(wanted) == 1:
            ask()  # the first reload has just broken the segment off

    hearing = Hearing("played", MODEL, SpeechSettings(), losses)
    intake = Intake(Played(), hearing, StreamReporter("played", losses, publish), backlog)
    in_force: list[SpeechSettings] = []
    successor = Hearing.successor

    def noted(
        self: Hearing, model: Model, speech: SpeechSettings, baseline: Baseline | None
    ) -> Hearing:
        in_force.append(speech)
        return successor(self, model, speech, baseline)

    monkeypatch.setattr(Hearing, "successor", noted)
    monkeypatch.setattr(intake_module, "RENEWED_WITHIN_S", 0.0)
    sound = blocks(4)
    for block in sound[:30]:
        intake.hear(block)
    assert intake.hearing.in_speech
    ask()
    for block in sound[30:]:
        intake.hear(block)
    assert in_force == wanted
    assert len(wanted) == 2


def test_a_source_that_fails_still_ends_its_open_segment() -> None:
    class Failing(Played):
        def blocks(self) -> Iterator[AudioBlock | AudioFault]:
            yield from super().blocks()
            raise SourceError("the pipe broke")

    events: list[Event] = []
    backlog = Backlog()
    backlog.abandon()
    losses = Losses()
    hearing = Hearing("played", MODEL, SpeechSettings(), losses)
    reporter = StreamReporter("played", losses, events.append)
    intake = Intake(Failing(*blocks(4)[:40]), hearing, reporter, backlog)
    with pytest.raises(SourceError, match="the pipe broke"):
        intake.listen()
    assert [told(event) for event in events] == ["speech start", "speech end"]
    backlog.close()
    assert taken(backlog)[0].kind == "final"
    assert intake.ended.is_set()


def test_a_fault_stays_one_line_whatever_a_file_is_called(caplog: pytest.LogCaptureFixture) -> None:
    fault = AudioFault("file_truncated", "a\nb\x1b[31m.wav: the file is cut off", recovered=False)
    _, _, events = heard(fault)
    assert faults(events)[0].message == "a\\nb\\x1b[31m.wav: the file is cut off"
    assert "\x1b" not in caplog.text
    assert len(caplog.text.splitlines()) == 1


def test_speech_is_published_as_it_begins_and_ends() -> None:
    intake, _, events = heard(*blocks(4))
    assert [e.state for e in events if isinstance(e, SpeechEvent)] == ["start", "end"]
    assert intake.counters.segments == 1
    assert intake.state == "no_audio"


def test_what_is_no_speech_is_counted_and_is_no_segment() -> None:
    time_s = np.arange(64_000) / 16_000
    bursts = np.sin(2 * np.pi * 600 * time_s) * np.exp(-8 * (time_s % 0.5)) * 9000
    sound = np.concatenate((noise(1), bursts.astype(np.int16), noise(1)))
    intake, _, events = heard(AudioBlock(sound, 0, 0.0))
    ends = [event for event in events if isinstance(event, SpeechEvent)]
    assert {event.reason for event in ends} == {"not_speech"}
    assert intake.counters.rejected_segments == len(ends) > 0
    assert intake.counters.segments == 0


def test_while_muted_nothing_is_heard_but_time_goes_on() -> None:
    losses = Losses()
    events: list[Event] = []
    mute = Mute()
    hearing = Hearing("played", MODEL, SpeechSettings(), losses)
    backlog = Backlog()
    reporter = StreamReporter("played", losses, events.append)
    intake = Intake(Played(), hearing, reporter, backlog, mute)
    played = blocks(4)
    for block in played[:25]:
        intake.hear(block)
    assert not intake.status(stopping=False).muted
    mute.set(True)
    for block in played[25:]:
        intake.hear(block)
    status = intake.status(stopping=False)
    assert status.muted
    assert status.position_s == 4
    assert status.counters.samples == 64_000
    assert status.counters.lost_samples == 0
    told = [event for event in events if isinstance(event, SpeechEvent)]
    assert [event.state for event in told] == ["start", "end"]
    assert told[1].end is not None
    assert told[1].end <= 2.02


@pytest.mark.parametrize("is_immediate", [False, True])
def test_much_sound_comes_at_once_where_nothing_is_told(is_immediate: bool) -> None:
    """In silence; and more of it in speech, if the source hands over what it is asked for."""
    sound = np.concatenate((noise(3), speech()[: 8 * SAMPLE_RATE], noise(3)))
    source = Obeying(sound)
    source.block_size_is_immediate = is_immediate
    _, _, events = heard_from(source)
    pieces = np.split(
        sound[: len(sound) // FRAME_SAMPLES * FRAME_SAMPLES], len(sound) // FRAME_SAMPLES
    )
    _, _, expected = heard(*(AudioBlock(p, i * len(p), 0.0) for i, p in enumerate(pieces)))
    assert events == expected
    told = [event for event in events if isinstance(event, SpeechEvent)]
    assert [event.state for event in told] == ["start", "end"] * 2
    lengths = dict(source.given)
    for begin, end in zip(told[::2], told[1::2], strict=True):
        assert begin.start is not None
        assert end.end is not None
        inside = [n for at, n in lengths.items() if begin.start + 0.4 < at / SAMPLE_RATE < end.end]
        most = max(inside) // FRAME_SAMPLES
        assert QUIET_BLOCK_FRAMES < most <= MAX_SPEECH_BLOCK_FRAMES if is_immediate else most == 1
        assert FRAME_SAMPLES in inside
    assert sum(n == QUIET_BLOCK_FRAMES * FRAME_SAMPLES for n in lengths.values()) > 40


def test_who_wants_levels_has_one_of_every_tenth_of_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake_module, "LEVELS_WANTED_FOR_S", 60.0)
    source = Obeying(np.concatenate((noise(1), speech()[: 3 * SAMPLE_RATE])))
    source.block_size_is_immediate = True
    hearing = Hearing("played", MODEL, SpeechSettings(), Losses())
    reporter = StreamReporter("played", Losses(), lambda event: None)
    intake = Intake(source, hearing, reporter, Backlog())
    intake.level()
    for block in source.blocks():
        intake.hear(block)
        assert intake.level().level_dbfs is not None
    assert max(n for _, n in source.given) == QUIET_BLOCK_FRAMES * FRAME_SAMPLES
