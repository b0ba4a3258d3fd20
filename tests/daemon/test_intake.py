"""An intake tells what happened once, summed up, and how its stream is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgeser.audio.source import AudioBlock, AudioFault
from edgeser.daemon.account import Account
from edgeser.daemon.backlog import Backlog
from edgeser.daemon.intake import Intake
from edgeser.events.schema import Event, FaultEvent, SpeechEvent
from edgeser.hearing import Hearing
from edgeser.losses import Losses
from edgeser.model.model import load_model
from edgeser.settings.schema import SpeechSettings
from edgeser.window import Window
from tests.sounds import monologue

MODEL = load_model()


class Played:
    """A live source that gives what it was made of."""

    name = "played"
    live = True
    restarts = 0

    def __init__(self, *items: AudioBlock | AudioFault) -> None:
        self.items = items

    def blocks(self) -> Iterator[AudioBlock | AudioFault]:
        yield from self.items

    def close(self) -> None:
        """Nothing to close."""


def heard(*items: AudioBlock | AudioFault) -> tuple[Intake, Backlog, list[Event]]:
    events: list[Event] = []
    backlog = Backlog()
    losses = Losses()
    hearing = Hearing("played", MODEL, SpeechSettings(), losses)
    intake = Intake(Played(*items), hearing, Account("played", losses, events.append), backlog)
    backlog.close()
    backlog.abandon()  # nobody works here: do not wait for it
    intake.listen()
    return intake, backlog, events


def blocks(seconds: float) -> list[AudioBlock]:
    pieces = np.split(monologue(seconds), 50)
    return [AudioBlock(piece, i * len(piece), 0.0) for i, piece in enumerate(pieces)]


def faults(events: list[Event]) -> list[FaultEvent]:
    return [event for event in events if isinstance(event, FaultEvent)]


def test_dropped_partials_are_told_once_and_summed_up() -> None:
    intake, _, events = heard(*blocks(4))
    assert not faults(events)
    intake.account.tell()
    told = faults(events)
    assert {fault.code for fault in told} == {"window_dropped"}
    assert sum(intake.account.drops.values()) == intake.counters.dropped_windows > 3
    assert [fault.message for fault in told] == [
        f"{windows} partial windows dropped: {reason}"
        for reason, windows in intake.account.drops.items()
    ]
    intake.account.tell()
    assert faults(events) == told


def test_failed_inference_is_summed_up() -> None:
    intake, backlog, events = heard(*blocks(4))
    (batch,) = [backlog.get()]
    for _ in range(3):
        intake.account.failed(batch[0], RuntimeError("out of luck"))
    intake.account.tell()
    (fault,) = [f for f in faults(events) if f.code == "inference_failed"]
    assert fault.message == f"3 windows without scores, {batch[0].kind}: out of luck"
    assert not fault.recovered


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


def test_speech_is_published_as_it_begins_and_ends() -> None:
    intake, _, events = heard(*blocks(4))
    assert [e.state for e in events if isinstance(e, SpeechEvent)] == ["start", "end"]
    assert intake.counters.segments == 1
    assert intake.state == "no_audio"
