"""How many microphones one core carries: streams added to a real daemon until it falls behind."""

from __future__ import annotations

import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from edgeser.audio.source import SAMPLE_RATE, Samples
from edgeser.bench import process, sound
from edgeser.bench.machine import Machine, busy_with_others, cpu_times, this_machine, usage
from edgeser.bench.receiver import receiver
from edgeser.errors import UserError
from edgeser.events.schema import EmotionEvent, Latency, SpeechEvent, StatusEvent

MOST_STREAMS = 1024
SETTLE_S = 2.0
"""Events of the first seconds do not count: sources start one after the other."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A number of streams, and how the daemon bore it.

    Lateness is ``latency_ms.total``; ``stage_ms``: mean time of an event in each stage.
    """

    streams: int
    seconds: float
    events: int
    lateness_p50_ms: float
    lateness_p99_ms: float
    dropped_partials: int
    lost_finals: int
    cpu_percent: float
    stage_ms: dict[str, float]
    warning: str

    def holds(self, limit_ms: float) -> bool:
        """In time, and nothing dropped."""
        in_time = self.events > 0 and self.lateness_p99_ms <= limit_ms
        return in_time and not self.dropped_partials and not self.lost_finals


class ThroughputReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``edgeser bench throughput``: the most streams that held, and every step."""

    format: Literal["edgeser-throughput-1"] = "edgeser-throughput-1"
    machine: Machine
    limit_ms: float
    hop_s: float
    window_s: float
    streams_per_core: int
    steps: list[Step]


def measure(
    speech: Path,
    seconds: float,
    *,
    limit_ms: float,
    hop_s: float,
    window_s: float,
    tell: Callable[[Step], None] = lambda step: None,
) -> ThroughputReport:
    """Double the streams until the daemon, on one core, falls behind; then search in between."""
    spoken = sound.without_pauses(sound.samples_of(speech), speech)
    steps: dict[int, Step] = {}

    def holds(streams: int) -> bool:
        steps[streams] = _step(spoken, streams, seconds, hop_s, window_s)
        tell(steps[streams])
        return steps[streams].holds(limit_ms)

    good, bad = 0, 1
    while bad <= MOST_STREAMS and holds(bad):
        good, bad = bad, bad * 2
    # To within a tenth: a finer figure would say more than the machine repeats.
    while bad - good > max(1, good // 10) and bad <= MOST_STREAMS:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return ThroughputReport(
        machine=this_machine(),
        limit_ms=limit_ms,
        hop_s=hop_s,
        window_s=window_s,
        streams_per_core=good,
        steps=[steps[streams] for streams in sorted(steps)],
    )


def _step(spoken: Samples, streams: int, seconds: float, hop_s: float, window_s: float) -> Step:
    with tempfile.TemporaryDirectory(prefix="edgeser-bench-") as folder:
        settings = [f"[speech]\nhop_seconds = {hop_s}\nwindow_seconds = {window_s}\n"]
        played = sound.repeated(spoken, seconds + SETTLE_S)
        for number in range(streams):
            # Each begins at another time and elsewhere in the speech: rooms do not speak in chorus.
            before = np.zeros(round(number / streams * hop_s * SAMPLE_RATE), np.int16)
            rolled = np.roll(played, number * len(played) // streams)
            file = Path(folder) / f"{number}.wav"
            sound.write(np.concatenate((before, rolled)), file)
            settings.append(f'[[source]]\nsource = "{file}"\nstream = "s{number}"\n')
        with process.daemon(["--once"], settings="\n".join(settings)) as daemon:
            os.sched_setaffinity(daemon.pid, {max(os.sched_getaffinity(0))})
            with receiver(daemon.endpoint) as received:
                daemon.wait_until_ready()
                idle, begun, used_s = cpu_times(), time.monotonic(), usage(daemon.pid).cpu_s
                events: list[EmotionEvent] = []
                ended: set[tuple[str, int]] = set()
                finals: set[tuple[str, int]] = set()
                dropped: dict[str, int] = {}
                stopped: set[str] = set()
                cpu_s, wall_s = used_s, 1e-9
                for _, event in received:
                    if isinstance(event, EmotionEvent):
                        if event.end > SETTLE_S:
                            events.append(event)
                        if event.kind == "final":
                            finals.add((event.stream, event.segment))
                    elif isinstance(event, SpeechEvent) and event.state == "end":
                        ended.add((event.stream, event.segment))
                    elif isinstance(event, StatusEvent):
                        dropped[event.stream] = event.counters.dropped_windows
                        if event.state == "stopping":
                            stopped.add(event.stream)
                            if len(stopped) == streams:
                                break
                        elif event.stream == "s0":
                            cpu_s, wall_s = usage(daemon.pid).cpu_s, time.monotonic() - begun
                after = cpu_times()
            daemon.check()
    if not events:
        raise UserError(f"--seconds: no event came within {seconds:g} s; give more")
    stages: defaultdict[str, list[float]] = defaultdict(list)
    for event in events:
        for stage in Latency.__struct_fields__:
            stages[stage].append(getattr(event.latency_ms, stage))
    return Step(
        streams=streams,
        seconds=seconds,
        events=len(events),
        lateness_p50_ms=float(np.percentile(stages["total"], 50)),
        lateness_p99_ms=float(np.percentile(stages["total"], 99)),
        dropped_partials=sum(dropped.values()),
        lost_finals=len(ended - finals),
        cpu_percent=100 * (cpu_s - used_s) / wall_s,
        stage_ms={stage: float(np.mean(values)) for stage, values in stages.items()},
        # The receiver's share is small and not known here: it counts as others'.
        warning=busy_with_others(idle, after, cpu_s - used_s),
    )
