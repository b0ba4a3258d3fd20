"""How many microphones one core carries: streams added to a real daemon until it falls behind."""

from __future__ import annotations

import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from edgeser.bench import process, sound
from edgeser.bench.machine import (
    CpuTimes,
    Usage,
    busy_with_others,
    cpu_times,
    this_machine,
    usage,
)
from edgeser.bench.receiver import receiver
from edgeser.bench.report import Report, now, speech_name
from edgeser.errors import UserError
from edgeser.events.schema import (
    AnyEvent,
    EmotionEvent,
    Latency,
    ModelRef,
    SpeechEvent,
    StatusEvent,
)
from edgeser.model.model import load_model
from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser.settings.schema import DEFAULT_MODEL

MAX_STREAMS = 1024
SETTLE_S = 2.0
"""Events are not counted this long after the last stream has begun and before all end.

All streams end at once, with a final each, which is not a load that occurs in practice.
"""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A number of streams, and how the daemon coped with it.

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
        """Whether events were in time, and nothing was dropped."""
        in_time = self.events > 0 and self.lateness_p99_ms <= limit_ms
        return in_time and not self.dropped_partials and not self.lost_finals


class ThroughputReport(Report, frozen=True, kw_only=True, tag="edgeser-throughput-1"):
    """The result of ``edgeser bench throughput``: the most streams that held, and every step."""

    model: ModelRef
    backend: str
    speech: str
    seconds: float
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
    model: str | None = None,
    command: str,
    tell: Callable[[Step], None] = lambda step: None,
) -> ThroughputReport:
    """Double the streams until the daemon, on one core, falls behind; then bisect.

    If there are at least two cores the daemon has one to itself: the subscriber runs on the others.
    """
    spoken = sound.without_pauses(sound.samples_of(speech), speech)
    longest_s = load_model(model or DEFAULT_MODEL).info.window.max_seconds
    settings = f"[speech]\nhop_seconds = {hop_s}\nwindow_seconds = {window_s}\n"
    arguments = ["--once"] + (["--model", model] if model else [])
    steps: dict[int, Step] = {}
    statuses: list[StatusEvent] = []

    def holds(streams: int) -> bool:
        with tempfile.TemporaryDirectory(prefix="edgeser-bench-") as folder:
            sources = sources_of(Path(folder), spoken, streams, longest_s, seconds + 2 * SETTLE_S)
            with one_core() as core:
                run = _Run(streams, longest_s + SETTLE_S, longest_s + SETTLE_S + seconds)
                run.follow(arguments, settings + sources, core)
        if not run.is_complete:
            raise UserError(f"--seconds: no event came within {seconds:g} s", "give more")
        steps[streams] = run.step(seconds)
        statuses.append(run.status)
        tell(steps[streams])
        return steps[streams].holds(limit_ms)

    good, bad = 0, 1
    while bad <= MAX_STREAMS and holds(bad):
        good, bad = bad, bad * 2
    # To within a tenth: the machine does not repeat more precisely.
    while bad - good > max(1, good // 10) and bad <= MAX_STREAMS:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    disturbed = sum(bool(step.warning) for step in steps.values())
    return ThroughputReport(
        command=command,
        date=now(),
        machine=this_machine(),
        warning=f"busy machine in {disturbed} of {len(steps)} steps" if disturbed else "",
        model=statuses[-1].model,
        backend=statuses[-1].backend,
        speech=speech_name(speech),
        seconds=seconds,
        limit_ms=limit_ms,
        hop_s=hop_s,
        window_s=window_s,
        streams_per_core=good,
        steps=[steps[streams] for streams in sorted(steps)],
    )


def sources_of(folder: Path, spoken: Samples, streams: int, spread_s: float, seconds: float) -> str:
    """A file for each stream, and their settings.

    Each begins at another time within ``spread_s``, the length of the longest segment, and at
    another place in the speech, as independent rooms would. All speak for at least ``seconds``, and
    end together. Raises UserError if the folder has no room for them.
    """
    sound.check_room(folder, streams * (spread_s + seconds))
    settings = []
    for number in range(streams):
        before_s = number / streams * spread_s
        length = round((spread_s - before_s + seconds) * SAMPLE_RATE)
        rolled = np.roll(spoken, number * len(spoken) // streams)
        silence = np.zeros(round(before_s * SAMPLE_RATE), np.int16)
        file = folder / f"{number}.wav"
        sound.write(np.concatenate((silence, np.resize(rolled, length))), file)
        # A JSON string is also a TOML string.
        path = json.dumps(str(file), ensure_ascii=False)
        settings.append(f'[[source]]\nsource = {path}\nstream = "s{number}"\n')
    return "\n".join(settings)


@contextmanager
def one_core() -> Iterator[int]:
    """Reserve a core for the daemon; this process and its children run on the others."""
    cores = os.sched_getaffinity(0)
    core = max(cores)
    os.sched_setaffinity(0, cores - {core} or cores)
    try:
        yield core
    finally:
        os.sched_setaffinity(0, cores)


class _Run:
    """A daemon with so many streams, and what was observed between two stream seconds."""

    def __init__(self, streams: int, begin_s: float, end_s: float) -> None:
        self.streams = streams
        self.events: list[EmotionEvent] = []
        self._begin_s, self._end_s = begin_s, end_s
        self._ended: set[tuple[str, int]] = set()
        self._finals: set[tuple[str, int]] = set()
        self._dropped: dict[str, int] = {}
        self._stopped: set[str] = set()
        self._looks: list[tuple[Usage, float, CpuTimes]] = []
        self._core: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether there is enough to judge."""
        return bool(self.events) and len(self._looks) > 1

    @property
    def lost_finals(self) -> int:
        """Segments that should have had a final and had none."""
        return len(self._ended - self._finals)

    def follow(self, arguments: list[str], settings: str, core: int) -> None:
        """Run it to its end."""
        self._core = core
        with process.daemon(arguments, settings=settings) as daemon:
            os.sched_setaffinity(daemon.pid, {core})
            with receiver(daemon) as received:
                for _, event in received:
                    self._take(event, daemon)
                    if len(self._stopped) == self.streams:
                        break
            daemon.check()

    def _take(self, event: AnyEvent, daemon: process.DaemonProcess) -> None:
        if isinstance(event, EmotionEvent):
            if self._begin_s < event.end <= self._end_s:
                self.events.append(event)
            if event.kind == "final":
                self._finals.add((event.stream, event.segment))
        elif isinstance(event, SpeechEvent) and event.state == "end" and event.has_final:
            self._ended.add((event.stream, event.segment))
        elif isinstance(event, StatusEvent):
            if event.state == "stopping":
                self._stopped.add(event.stream)
            if event.position_s > self._end_s:
                return
            self._dropped[event.stream] = event.counters.dropped_windows
            if event.stream != "s0" or event.position_s <= self._begin_s:
                return
            if used := daemon.usage():
                self.status = event
                # On a machine of one core the subscriber and this process share it.
                is_shared = self._core in os.sched_getaffinity(0)
                ours_s = usage(os.getpid()).cpu_s if is_shared else used.cpu_s
                self._looks.append((used, ours_s, cpu_times(self._core)))

    def step(self, seconds: float) -> Step:
        """The result."""
        stages: defaultdict[str, list[float]] = defaultdict(list)
        for event in self.events:
            for stage in Latency.__struct_fields__:
                stages[stage].append(getattr(event.latency_ms, stage))
        (first, first_s, before), (last, last_s, after) = self._looks[0], self._looks[-1]
        return Step(
            streams=self.streams,
            seconds=seconds,
            events=len(self.events),
            lateness_p50_ms=float(np.percentile(stages["total"], 50)),
            lateness_p99_ms=float(np.percentile(stages["total"], 99)),
            dropped_partials=sum(self._dropped.values()),
            lost_finals=self.lost_finals,
            cpu_percent=100 * (last.cpu_s - first.cpu_s) / max(1e-9, last.at_s - first.at_s),
            stage_ms={stage: float(np.mean(values)) for stage, values in stages.items()},
            warning=busy_with_others(before, after, last_s - first_s, "the daemon's core"),
        )
