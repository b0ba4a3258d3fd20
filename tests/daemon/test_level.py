"""The level of the sound is told: in each status, and often while somebody wants it."""

from __future__ import annotations

import subprocess

from edgeser import LevelEvent, StatusEvent, Subscriber
from tests.sounds import speech
from tests.system.daemons import running


def test_statuses_and_level_events_tell_it() -> None:
    with (
        running("--source", "-", stdin=subprocess.PIPE) as daemon,
        Subscriber(daemon.endpoint, ["level.", "status."], timeout_s=120) as subscriber,
        daemon.hearing(speech()),
    ):
        levels: list[LevelEvent] = []
        statuses: list[StatusEvent] = []
        for event in subscriber:
            if event.type == "level" and event.level_dbfs is not None:
                levels.append(event)
            elif event.type == "status" and event.level_dbfs is not None:
                statuses.append(event)
            if len(levels) > len(statuses) >= 2 or len(statuses) == 100:
                break
    told = [(e.level_dbfs, e.noise_floor_dbfs) for e in levels]
    told += [(e.level_dbfs, e.noise_floor_dbfs) for e in statuses]
    for level_dbfs, floor_dbfs in told:
        assert level_dbfs is not None
        assert floor_dbfs is not None
        assert -100 <= level_dbfs <= 0
    assert len(levels) > len(statuses)
