"""The level of the sound is told: in each status, and by events of its own to who wants them."""

from __future__ import annotations

import subprocess
import time

from edgeser import LevelEvent, StatusEvent, Subscriber
from tests.patience import PATIENCE_S
from tests.sounds import speech
from tests.system.daemons import running


def test_statuses_and_level_events_tell_it() -> None:
    with (
        running("--source", "-", stdin=subprocess.PIPE) as daemon,
        Subscriber(daemon.endpoint, ["level.", "status."], timeout_s=PATIENCE_S) as subscriber,
        daemon.hearing(speech()),
    ):
        deadline = time.monotonic() + PATIENCE_S
        levels: list[LevelEvent] = []
        statuses: list[StatusEvent] = []
        for event in subscriber:
            if event.type == "level" and event.level_dbfs is not None:
                levels.append(event)
            elif event.type == "status" and event.level_dbfs is not None:
                statuses.append(event)
            if len(levels) >= 5 and len(statuses) >= 2:
                break
            assert time.monotonic() < deadline, (levels, statuses)
    told = [(e.level_dbfs, e.noise_floor_dbfs) for e in levels]
    told += [(e.level_dbfs, e.noise_floor_dbfs) for e in statuses]
    for level_dbfs, floor_dbfs in told:
        assert level_dbfs is not None
        assert floor_dbfs is not None
        assert -100 <= level_dbfs <= 0
