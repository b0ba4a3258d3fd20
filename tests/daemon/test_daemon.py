"""A whole daemon in this process, with its sockets: how it ends, and what a clock may do to it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeser.audio.source import AudioBlock, AudioFault, SourceError
from edgeser.baselines.store import BaselineStore
from edgeser.daemon import baselines as baselines_module
from edgeser.daemon.daemon import Daemon
from edgeser.events.publish.numbering import Numbering
from edgeser.events.schema import AnyEvent, EmotionEvent, FaultEvent, SpeechEvent, StatusEvent
from edgeser.events.subscribe.subscriber import Subscriber
from edgeser.model.model import load_model
from edgeser.settings.schema import (
    BaselineSettings,
    EventSettings,
    JournalSettings,
    Settings,
)
from tests.sounds import monologue, silence, speech

MODEL = load_model()
DEADLINE_S = 120.0
DAY_S = 86_400.0


class Talk:
    """A source that talks, as fast as it is heard, and then waits until it is closed."""

    name = "talk"
    live = False
    restarts = 0
    block_size_is_immediate = False

    def __init__(self) -> None:
        self.spoken = threading.Event()
        self.closed = threading.Event()

    def blocks(self) -> Iterator[AudioBlock | AudioFault]:
        for i, samples in enumerate(np.split(monologue(4), 200)[:100]):
            yield AudioBlock(samples, i * len(samples), time.monotonic())
        self.spoken.set()
        assert self.closed.wait(DEADLINE_S)

    def close(self) -> None:
        self.closed.set()


class Refused(Talk):
    """A source that cannot be used, as it turns out while the other one talks."""

    def __init__(self, other: Talk) -> None:
        super().__init__()
        self.other = other

    def blocks(self) -> Iterator[AudioBlock | AudioFault]:
        assert self.other.spoken.wait(DEADLINE_S)
        raise SourceError("stdin: a WAV file", "give its name as the source")
        yield  # a generator


def settings(folder: Path) -> Settings:
    return Settings(
        baseline=BaselineSettings(path=str(folder / "baselines")),
        events=EventSettings(bind=[f"ipc://{folder}/events.sock"]),
        journal=JournalSettings(path=str(folder / "journal.db")),
    )


def test_a_source_that_fails_takes_no_final_of_another_with_it(tmp_path: Path) -> None:
    talk = Talk()
    sources = {"talk": talk, "stdin": Refused(talk)}
    daemon = Daemon(settings(tmp_path), sources, MODEL, await_subscriber=True)
    heard: list[AnyEvent] = []

    def listen() -> None:
        with Subscriber(f"ipc://{tmp_path}/events.sock") as subscriber:
            for event in subscriber:
                if isinstance(event, EmotionEvent | SpeechEvent | FaultEvent):
                    heard.append(event)
                if isinstance(event, FaultEvent) and event.stream == "talk":
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    with pytest.raises(SourceError, match="stdin: a WAV file"):
        daemon.run()
    listener.join(DEADLINE_S)
    assert not listener.is_alive()
    ends = [e for e in heard if isinstance(e, SpeechEvent) and e.state == "end"]
    finals = [e for e in heard if isinstance(e, EmotionEvent) and e.kind == "final"]
    assert [e.has_final for e in ends] == [True]
    assert [e.segment for e in finals] == [ends[0].segment]
    (fault,) = [e for e in heard if isinstance(e, FaultEvent)]
    assert fault.code == "source_failed"
    assert fault.message == ("the daemon ends: stdin: a WAV file; give its name as the source")


def test_a_step_of_the_system_clock_distorts_no_latency_and_no_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = itertools.cycle([0.0, 40 * DAY_S, -40 * DAY_S])
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + next(steps))
    talk = Talk()
    daemon = Daemon(settings(tmp_path), {"talk": talk}, MODEL, await_subscriber=True)
    heard: list[EmotionEvent] = []

    def listen() -> None:
        with Subscriber(f"ipc://{tmp_path}/events.sock", topics=("emotion.",)) as subscriber:
            for event in subscriber:
                if isinstance(event, EmotionEvent):
                    heard.append(event)
                    if event.kind == "final":
                        return
                    talk.close()  # the end of its only segment

    listener = threading.Thread(target=listen)
    listener.start()
    threading.Thread(target=lambda: (talk.spoken.wait(DEADLINE_S), daemon.stop())).start()
    daemon.run()
    listener.join(DEADLINE_S)
    assert not listener.is_alive()
    for event in heard:
        latency = event.latency_ms
        stages = (latency.segment, latency.features, latency.queue, latency.inference)
        assert all(0 <= stage < DEADLINE_S * 1000 for stage in (*stages, latency.publish))
        assert sum(stages) <= latency.total < DEADLINE_S * 1000


class Ended(Talk):
    """One that ends, after as many blocks as it is given."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.count = blocks

    def blocks(self) -> Iterator[AudioBlock | AudioFault]:
        for i in range(self.count):
            yield AudioBlock(np.zeros(320, np.int16), i * 320, time.monotonic())


def test_what_has_ended_is_said_since_nothing_more_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "edgeser.daemon.daemon")
    sources = {"talk": Talk(), "file": Ended(3), "stdin": Ended(0)}
    daemon = Daemon(settings(tmp_path), sources, MODEL)

    def said() -> list[str]:
        return [line for line in caplog.messages if "has ended" in line]

    def stop() -> None:
        deadline = time.monotonic() + DEADLINE_S
        while len(said()) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        daemon.stop()

    threading.Thread(target=stop).start()
    daemon.run()
    goes_on = "; the daemon goes on (--once ends it with its sources)"
    assert sorted(said()) == [
        f"file has ended{goes_on}",
        f"stdin has ended without any sound{goes_on}",
    ]


class Microphone(Talk):
    """One that hears real speech, and then silence."""

    def blocks(self) -> Iterator[AudioBlock | AudioFault]:
        sound = np.concatenate((speech(), silence(1.0)))
        for first in range(0, len(sound) - 319, 320):
            yield AudioBlock(sound[first : first + 320], first, time.monotonic())
        self.spoken.set()
        assert self.closed.wait(DEADLINE_S)


def test_a_publisher_that_fails_takes_nothing_else_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    microphone = Microphone()

    def fail(*_: object, **__: object) -> None:
        assert microphone.spoken.wait(DEADLINE_S)
        raise MemoryError("no room for a status")

    monkeypatch.setattr(Numbering, "sent", fail)
    before = set(threading.enumerate())
    with pytest.raises(MemoryError, match="no room for a status"):
        Daemon(settings(tmp_path), {"mic": microphone}, MODEL).run()
    assert BaselineStore(tmp_path / "baselines").read("mic") is not None
    for thread in set(threading.enumerate()) - before:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    assert not [path for path in tmp_path.iterdir() if path.is_socket()]
    assert "the daemon ends: MemoryError: no room for a status" in caplog.text
    assert (
        "subscribers could not be told that the daemon ends: the publisher is closed" in caplog.text
    )


@pytest.mark.parametrize("answers", [True, False])
def test_a_disk_that_does_not_answer_holds_nothing_up_but_the_baseline(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answers: bool,
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def slow(descriptor: int) -> None:
        asked.set()
        assert answered.wait(DEADLINE_S)

    monkeypatch.setattr("edgeser.baselines.store.os.fsync", slow)
    monkeypatch.setattr(baselines_module, "END_WITHIN_S", DEADLINE_S if answers else 0.1)
    daemon = Daemon(settings(tmp_path), {"mic": Microphone()}, MODEL, await_subscriber=True)

    def listen() -> None:
        with Subscriber(f"ipc://{tmp_path}/events.sock", topics=("status.",)) as subscriber:
            after = 0
            for event in subscriber:
                assert isinstance(event, StatusEvent)
                after += asked.is_set()
                if after == 2:  # the main thread goes on; one may have been under way
                    daemon.stop()
                    if answers:
                        answered.set()
                if event.state == "stopping":
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    daemon.run()
    listener.join(DEADLINE_S)
    assert not listener.is_alive()
    kept = BaselineStore(tmp_path / "baselines").read("mic")
    assert (kept is not None) == answers
    assert ("the disk has not responded" in caplog.text) != answers
    answered.set()
    for thread in threading.enumerate():
        if thread.name == "baselines":
            thread.join(DEADLINE_S)
