"""When the daemon gives signs of life, and when it stops to."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgeser.audio.network.stream import NetworkStream
from edgeser.daemon.health import DEAF_LIMIT_S, SILENT_LIMIT_S, STUCK_AFTER_S, Health

WATCHDOG_S = 30.0


@dataclass
class FakeManager:
    """Remembers what it is told."""

    watchdog_s: float | None = WATCHDOG_S
    told: list[str] = field(default_factory=list)
    text: str = ""
    well: bool | None = None

    def status(self, text: str, *, well: bool) -> None:
        self.text, self.well = text, well

    def __getattr__(self, name: str) -> Any:
        return lambda: self.told.append(name)


@dataclass
class FakeIntake:
    """An intake in the state that a test wants."""

    frame_age_s: float | None = 0.02
    lost: str | None = None
    live: bool = True
    remote: bool = False
    last: Any = None
    state: str = "listening"
    ended: threading.Event = field(default_factory=threading.Event)
    is_deaf: bool = False
    is_muted: bool = False
    wrong_pace: bool = False
    faults: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def source(self) -> Any:
        return object.__new__(NetworkStream) if self.remote else SimpleNamespace(live=self.live)

    @property
    def reporter(self) -> Any:
        return SimpleNamespace(last=self.last, fault=self._fault)

    def _fault(self, code: str, message: str, *, recovered: bool) -> None:
        self.faults.append((code, recovered))


class World:
    """A daemon's parts, and time that passes as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *intakes: FakeIntake) -> None:
        self.now = 0.0
        clock = "edgeser.daemon.health.time.monotonic"
        monkeypatch.setattr(clock, lambda: self.now)
        self.manager = FakeManager()
        self.backlog = SimpleNamespace(working_s=0.0)
        named = {f"s{number}": intake for number, intake in enumerate(intakes)}
        self.health = Health(cast(Any, named), cast(Any, self.backlog), cast(Any, self.manager))

    def signs(self, seconds: int) -> int:
        """How many signs of life come within so many seconds."""
        before = self.manager.told.count("alive")
        for _ in range(seconds):
            self.now += 1
            self.health.tell()
        return self.manager.told.count("alive") - before


def test_troubles_are_told_before_the_signs_of_life_end(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf, well = FakeIntake(is_deaf=True), FakeIntake()
    world = World(monkeypatch, deaf, well)
    assert world.health.troubles() == ["s0: no audio"]
    deaf.is_deaf = False
    world.backlog.working_s = STUCK_AFTER_S
    assert world.health.troubles() == []
    world.backlog.working_s = STUCK_AFTER_S + 2
    assert world.health.troubles() == ["inference: stuck for 12 s"]
    assert world.signs(30) > 0


def test_it_is_ready_when_it_has_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    mic = FakeIntake(frame_age_s=None, lost="no input device", state="no_audio", is_deaf=True)
    world = World(monkeypatch, mic)
    world.signs(3)
    assert "ready" not in world.manager.told
    assert not world.manager.well
    assert world.manager.text == "no audio, no input device"
    mic.frame_age_s, mic.lost, mic.state, mic.is_deaf = 0.02, None, "listening", False
    mic.last = SimpleNamespace(label="happy", confidence=0.61)
    world.signs(3)
    assert world.manager.told.count("ready") == 1
    assert world.manager.text == "listening, heard 0 s ago, last happy 61%"
    assert world.manager.well


def test_that_it_is_muted_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, FakeIntake(is_muted=True))
    world.health.tell()
    assert world.manager.text == "listening, muted, heard 0 s ago"
    assert world.manager.well


def test_sound_at_the_wrong_pace_is_told_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, FakeIntake(wrong_pace=True, state="degraded"))
    assert world.signs(30) == 2
    assert world.manager.text == "degraded, at the wrong pace, heard 0 s ago"
    assert not world.manager.well
    assert not world.health.troubles()


def test_a_journal_that_is_off_is_told_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, FakeIntake())
    world.health.tell(journal_is_off=True)
    assert world.manager.text == "listening, heard 0 s ago; events are not kept"
    assert not world.manager.well
    assert not world.health.troubles()
    assert world.signs(30) == 2
    assert world.manager.well


def test_signs_of_life_come_twice_in_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, FakeIntake())
    assert world.signs(300) == pytest.approx(300 / (WATCHDOG_S / 2), abs=2)
    world.manager.watchdog_s = 2.0
    assert world.signs(10) == 10
    world.manager.watchdog_s = None
    assert world.signs(100) == 0


def test_a_stuck_window_ends_them_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    mic = FakeIntake()
    world = World(monkeypatch, mic)
    assert world.signs(30) == 2
    world.backlog.working_s = WATCHDOG_S + 1
    assert world.signs(60) == 0
    assert mic.faults == [("restart_due", False)]
    world.backlog.working_s = 0.0
    assert world.signs(30) >= 2
    assert mic.faults == [("restart_due", False), ("restart_due", True)]


def test_a_lost_microphone_is_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    mic = FakeIntake(frame_age_s=DEAF_LIMIT_S - 1, lost="unplugged")
    world = World(monkeypatch, mic)
    assert world.signs(30) == 2
    mic.frame_age_s = DEAF_LIMIT_S + 1
    assert world.signs(30) == 0
    assert mic.faults == [("restart_due", False)]


def test_one_that_hears_keeps_the_daemon_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = FakeIntake(frame_age_s=10 * DEAF_LIMIT_S, lost="unplugged")
    world = World(monkeypatch, lost, FakeIntake())
    assert world.signs(30) == 2
    assert world.manager.text.count("heard") == 2


def test_a_thread_that_stands_still_is_no_lost_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = FakeIntake(frame_age_s=SILENT_LIMIT_S + 1)
    world = World(monkeypatch, FakeIntake(), hanging)
    assert world.signs(30) == 0
    hanging.live = False  # a pipe may be silent
    assert world.signs(30) >= 2


def test_a_file_that_has_ended_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    file = FakeIntake(frame_age_s=10 * DEAF_LIMIT_S)
    file.is_deaf = True
    file.ended.set()
    world = World(monkeypatch, file, FakeIntake())
    assert world.signs(30) == 2
    assert world.health.troubles() == []


def test_a_reload_is_told_from_begin_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, FakeIntake())
    with world.health.reloading():
        pass
    assert world.manager.told == []  # a start that goes on is not made ready by it
    world.signs(1)
    with pytest.raises(ValueError, match="no"), world.health.reloading():
        raise ValueError("no")
    world.health.stopping()
    assert world.manager.told == ["ready", "alive", "reloading", "ready", "stopping"]


def test_a_network_microphone_that_is_away_restarts_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = "network microphone 'a': has not connected"
    away = FakeIntake(frame_age_s=None, lost=lost, remote=True)
    world = World(monkeypatch, away)
    assert world.signs(600) > 20
    assert world.manager.told[0] == "ready"  # it may connect at any time
    away.frame_age_s = 10 * DEAF_LIMIT_S
    assert world.signs(600) > 20


def test_sound_from_the_network_keeps_the_daemon_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = FakeIntake(frame_age_s=10 * DEAF_LIMIT_S, lost="unplugged")
    network = FakeIntake(remote=True)
    world = World(monkeypatch, lost, network)
    assert world.signs(30) == 2
    network.frame_age_s, network.lost = DEAF_LIMIT_S + 1, "it closed the connection"
    assert world.signs(30) == 0


def test_one_that_never_came_does_not_keep_a_deaf_daemon_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = FakeIntake(frame_age_s=DEAF_LIMIT_S - 1, lost="unplugged")
    world = World(monkeypatch, FakeIntake(frame_age_s=None, lost="no input device"), lost)
    assert world.signs(30) == 2
    lost.frame_age_s = DEAF_LIMIT_S + 1
    assert world.signs(30) == 0


def test_a_thread_of_the_network_that_stands_still_is_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(
        monkeypatch, FakeIntake(), FakeIntake(frame_age_s=SILENT_LIMIT_S + 1, remote=True)
    )
    assert world.signs(30) == 0
