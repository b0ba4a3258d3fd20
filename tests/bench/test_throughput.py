"""``edgeser bench throughput``: how many streams are in time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import soundfile

from edgeser.bench.process import DaemonProcess
from edgeser.bench.throughput import _Run, sources_of
from edgeser.events.schema import SpeechEvent
from tests.bench.reports import named
from tests.system.daemons import edgeser


def test_throughput_misses_only_finals_that_are_to_come() -> None:
    run = _Run(streams=1, begin_s=0, end_s=60)
    for segment, has_final in ((1, True), (2, False)):
        end = SpeechEvent(
            stream="s0", state="end", segment=segment, start=0, end=1, has_final=has_final
        )
        run._take(end, cast(DaemonProcess, None))  # it is asked at a status only
    assert run.lost_finals == 1


def test_throughput_stops_at_the_first_step_that_is_too_late(tmp_path: Path) -> None:
    file = tmp_path / "throughput.json"
    done = edgeser("bench", "throughput", "--seconds", "4", "--limit", "0.1", "--json", str(file))
    assert done.code == 0, done.err
    report = json.loads(file.read_text())
    assert named(report, "throughput")
    assert report["streams_per_core"] == 0
    (step,) = report["steps"]
    assert step["events"] >= 2
    assert report["warning"] == ("busy machine in 1 of 1 steps" if step["warning"] else "")
    assert (f"({report['warning']}: take it with care)" in done.out) == bool(step["warning"])
    assert step["lost_finals"] == 0
    assert set(step["stage_ms"]) >= {"features", "inference", "total"}


def test_streams_begin_one_after_the_other_and_end_together(tmp_path: Path) -> None:
    tmp_path = tmp_path / 'a "quoted" folder'
    tmp_path.mkdir()
    spoken = np.full(16_000, 1000, np.int16)
    settings = sources_of(tmp_path, spoken, streams=4, spread_s=8.0, seconds=5.0)
    sources = msgspec.toml.decode(settings)["source"]
    assert [s["source"] for s in sources] == [str(tmp_path / f"{i}.wav") for i in range(4)]
    sounds = [soundfile.read(tmp_path / f"{i}.wav", dtype="int16")[0] for i in range(4)]
    assert [len(sound) for sound in sounds] == [13 * 16_000] * 4
    assert [int(np.argmax(sound != 0)) for sound in sounds] == [0, 32_000, 64_000, 96_000]
    assert all(sound[-1] for sound in sounds)
