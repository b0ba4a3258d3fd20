"""Files that play in real time share a thread; each still goes to its own intake, whole."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeser.audio.file import FileSource
from edgeser.audio.network.address import Address
from edgeser.audio.network.server import NetworkServer
from edgeser.audio.source import AudioBlock, AudioFault, Source, SourceError
from edgeser.audio.stdin import RawSource
from edgeser.daemon.backlog import Backlog
from edgeser.daemon.intake import Intake
from edgeser.daemon.reporter import StreamReporter
from edgeser.daemon.source_threads import MAX_FAST_THREADS, source_threads
from edgeser.hearing import Hearing
from edgeser.losses import Losses
from edgeser.model.model import load_model
from edgeser.settings.schema import SpeechSettings
from tests.patience import PATIENCE_S
from tests.sounds import monologue

MODEL = load_model()


class Noted(Intake):
    """An intake that notes what it hears, and in which thread."""

    def __init__(self, name: str, source: Source, order: list[str]) -> None:
        backlog = Backlog()
        backlog.abandon()  # nobody works here: do not wait for it
        losses = Losses()
        hearing = Hearing(name, MODEL, SpeechSettings(), losses)
        super().__init__(source, hearing, StreamReporter(name, losses, lambda event: None), backlog)
        self.order = order
        self.items: list[AudioBlock | AudioFault] = []
        self.threads: set[threading.Thread] = set()
        self.together: threading.Barrier | None = None

    def hear(self, item: AudioBlock | AudioFault) -> None:
        if self.together is not None and not self.items:
            self.together.wait(PATIENCE_S)
        self.order.append(self.name)
        self.items.append(item)
        self.threads.add(threading.current_thread())
        super().hear(item)


def written(path: Path, seconds: float) -> Path:
    soundfile.write(path, monologue(2)[: round(seconds * 16_000)], 16_000, "PCM_16")
    return path


def intakes(tmp_path: Path, *seconds: float, fast: bool = False) -> dict[str, Noted]:
    order: list[str] = []
    return {
        str(i): Noted(str(i), FileSource(written(tmp_path / f"{i}.wav", s), fast), order)
        for i, s in enumerate(seconds)
    }


def names(heard: dict[str, Noted]) -> list[str]:
    return [name for name, _ in source_threads(heard)]


def play(heard: dict[str, Noted]) -> None:
    threads = [threading.Thread(target=work) for _, work in source_threads(heard)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_files_take_turns_in_one_thread_and_each_is_heard_whole(tmp_path: Path) -> None:
    heard = intakes(tmp_path, 0.6, 0.3)
    assert names(heard) == ["files"]
    play(heard)
    for intake, samples in zip(heard.values(), (9600, 4800), strict=True):
        assert intake.ended.is_set()
        assert intake.counters.samples == samples
    assert heard["0"].threads == heard["1"].threads
    assert heard["0"].order == ["0", "1"] * 15 + ["0"] * 15


def test_blocks_were_captured_when_they_were_due(tmp_path: Path) -> None:
    (intake,) = intakes(tmp_path, 0.3).values()
    before = time.monotonic()
    play({"0": intake})
    times = [item.captured_at for item in intake.items if isinstance(item, AudioBlock)]
    assert np.isclose(np.median(np.diff(times)), 0.02, atol=0.002)
    assert before < times[0] <= times[-1] < time.monotonic()


def test_fast_files_have_a_thread_each(tmp_path: Path) -> None:
    heard = intakes(tmp_path, 0.3, 0.3, fast=True)
    assert names(heard) == ["0", "1"]
    both = threading.Barrier(2)  # a thread that is quick would hear the second file, too
    for intake in heard.values():
        intake.together = both
    play(heard)
    assert all(intake.ended.is_set() for intake in heard.values())
    assert not heard["0"].threads & heard["1"].threads


def test_of_many_fast_files_only_some_play_at_once(tmp_path: Path) -> None:
    heard = intakes(tmp_path, *[0.1] * 20, fast=True)
    assert len(source_threads(heard)) == MAX_FAST_THREADS
    play(heard)
    assert all(intake.ended.is_set() for intake in heard.values())
    assert {intake.counters.samples for intake in heard.values()} == {1600}


def test_a_closed_file_ends_and_the_others_play_on(tmp_path: Path) -> None:
    heard = intakes(tmp_path, 0.6, 0.3)
    heard["0"].source.close()
    play(heard)
    assert heard["0"].ended.is_set()
    assert heard["0"].counters.samples == 0
    assert heard["1"].counters.samples == 4800


def test_a_cut_off_file_says_so_at_its_end(tmp_path: Path) -> None:
    heard = intakes(tmp_path, 0.3, 0.3)
    path = tmp_path / "0.wav"
    path.write_bytes(path.read_bytes()[:-3200])
    play(heard)
    assert heard["0"].counters.samples == 3200
    assert isinstance(heard["0"].items[-1], AudioFault)
    assert not any(isinstance(item, AudioFault) for item in heard["1"].items)


def test_a_file_that_is_gone_ends_the_play(tmp_path: Path) -> None:
    heard = intakes(tmp_path, 0.3, 0.3)
    (tmp_path / "1.wav").unlink()
    with pytest.raises(SourceError, match="there is no such file"):
        dict(source_threads(heard))["files"]()


def test_threads_of_one_name_hear_all_that_they_are_to_hear(tmp_path: Path) -> None:
    order: list[str] = []
    first = NetworkServer(Address("127.0.0.1", 0, False), None, None, 1.5)
    second = NetworkServer(first.address._replace(host="127.0.0.2"), None, None, 1.5)
    file = FileSource(written(tmp_path / "0.wav", 0.1))
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        sources: dict[str, Source] = {
            "first": first.streams[0],
            "second": second.streams[0],
            "a file": file,
            "files": RawSource(pipe),
        }
        heard = {name: Noted(name, source, order) for name, source in sources.items()}
        for server in (first, second):
            server.streams[0].close()
        play(heard)
    assert all(intake.ended.is_set() for intake in heard.values())
