"""How late events are: a real daemon, a paced source, and a subscriber in another process."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgeser.bench import process, sound
from edgeser.bench.figures import Distribution, flat
from edgeser.bench.machine import Usage, busy_with_others, cpu_times, this_machine, usage
from edgeser.bench.receiver import Receiver, receiver
from edgeser.bench.report import Report, now, speech_name
from edgeser.errors import UserError
from edgeser.events.schema import EmotionEvent, Latency, ModelRef, StatusEvent
from edgeser.settings.schema import Settings

STAGES = (*(stage for stage in Latency.__struct_fields__ if stage != "total"), "receive", "total")
"""``total``: from the capture of the last sample needed to the subscriber having decoded."""

SINGLES = (
    "cpu_percent",
    "real_time_factor",
    "rss_peak_mb",
    "rss_growth_mb",
    "dropped_windows",
    "gaps",
    "ready_s",
)

SETTLE_S = 3.0
"""Memory growth is measured from this long after the start."""


class Algorithmic(msgspec.Struct, frozen=True):
    """Delay by design, however fast the machine; not part of the latency."""

    hop_s: float
    closing_silence_s: float


class LatencyReport(Report, frozen=True, kw_only=True, tag="edgeser-latency-1"):
    """The result of ``edgeser bench latency``. Times in milliseconds unless named otherwise.

    ``continuous``: without the pauses of the speech. It is null in reports of before 2026-11-21,
    and ``speech`` is empty in those of before 2026-11-23.
    """

    model: ModelRef
    backend: str
    transport: str
    seconds: float
    speech: str = ""
    continuous: bool | None = None
    partials: int
    finals: int
    stages: dict[str, Distribution]
    overhead: Distribution
    algorithmic: Algorithmic
    singles: dict[str, float]

    @property
    def figures(self) -> dict[str, float]:
        """Every figure by name, as ``--fail-if`` knows them."""
        return flat(self.distributions, self.singles)

    @property
    def distributions(self) -> dict[str, Distribution]:
        """The distributions of each stage, and of the overhead."""
        return {**self.stages, "overhead": self.overhead}

    def doubts(self, old: LatencyReport) -> str:
        """What else than edgeser itself differs from an older run; empty: nothing."""
        known = self.continuous is not None and old.continuous is not None
        pairs = {
            "processor": (old.machine.cpu, self.machine.cpu),
            "model": (_named(old.model), _named(self.model)),
            "backend": (old.backend, self.backend),
            "transport": (old.transport, self.transport),
            "speech": (_spoken(old), _spoken(self)) if known else ("", ""),
            "file of speech": (old.speech, self.speech) if old.speech and self.speech else ("", ""),
        }
        unlike = [f"{what} ({was}, now {now})" for what, (was, now) in pairs.items() if was != now]
        found = [f"not alike in {', '.join(unlike)}"] if unlike else []
        found += [f"the older run had a {old.warning}"] if old.warning else []
        return "; ".join(found)


def measure(
    speech: Path,
    seconds: float,
    *,
    transport: str,
    continuous: bool,
    model: str | None,
    command: str,
) -> LatencyReport:
    """Run the benchmark. ``continuous``: without the pauses of the speech. Raises UserError."""
    samples = sound.samples_of(speech)
    spoken = sound.without_pauses(samples, speech)
    with tempfile.TemporaryDirectory(prefix="edgeser-bench-") as folder:
        played = Path(folder) / "speech.wav"
        sound.check_room(played.parent, seconds)
        sound.write(spoken if continuous else samples, played, seconds)
        arguments = ["--source", str(played), "--once"]
        if model is not None:
            arguments += ["--model", model]
        with process.daemon(arguments, transport=transport) as daemon:
            ready_s = daemon.wait_until_ready()
            with receiver(daemon) as received:
                before = cpu_times()
                run = _follow(received, daemon)
                after = cpu_times()
            daemon.check()
    if not run.emotions:
        raise UserError(
            f"{speech}: no event came in {seconds:g} s", "give speech, and more seconds"
        )
    settings, last = Settings(), run.statuses[-1]
    first, settled, end = (
        run.usages[0],
        run.usages[min(int(SETTLE_S), len(run.usages) - 1)],
        run.usages[-1],
    )
    ours_s = end.cpu_s - first.cpu_s
    share = ours_s / max(1e-9, end.at_s - first.at_s)
    return LatencyReport(
        command=command,
        date=now(),
        machine=this_machine(),
        model=last.model,
        backend=last.backend,
        transport=transport,
        seconds=seconds,
        speech=speech_name(speech),
        continuous=continuous,
        partials=sum(event.kind == "partial" for _, event in run.emotions),
        finals=sum(event.kind == "final" for _, event in run.emotions),
        stages=_stages(run.emotions),
        overhead=Distribution([_total(at, e) - e.latency_ms.inference for at, e in run.emotions]),
        algorithmic=Algorithmic(
            hop_s=settings.speech.hop_seconds,
            closing_silence_s=settings.speech.end_seconds - settings.speech.hangover_seconds,
        ),
        singles={
            "cpu_percent": 100 * share,
            "real_time_factor": share,
            "rss_peak_mb": end.peak_mb,
            "rss_growth_mb": end.resident_mb - settled.resident_mb,
            "dropped_windows": last.counters.dropped_windows,
            "gaps": received.gaps,
            "ready_s": ready_s,
        },
        warning=busy_with_others(before, after, ours_s + run.receiver_cpu_s),
    )


@dataclass
class _Run:
    """What was observed in a run."""

    emotions: list[tuple[float, EmotionEvent]] = field(default_factory=list)
    statuses: list[StatusEvent] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    receiver_cpu_s: float = 0.0


def _follow(received: Receiver, daemon: process.DaemonProcess) -> _Run:
    """Collect events until the daemon says that it stops; measure its usage at every status."""
    run = _Run()
    for received_at, event in received:
        if isinstance(event, EmotionEvent):
            run.emotions.append((received_at, event))
        elif isinstance(event, StatusEvent):
            run.statuses.append(event)
            if used := daemon.usage():
                run.usages.append(used)
            if event.state == "stopping":
                break
    run.receiver_cpu_s = usage(received.pid).cpu_s
    if not run.usages:
        raise UserError("the daemon ended before it could be measured", "give more --seconds")
    return run


def _named(model: ModelRef) -> str:
    return f"{model.name} {model.version}, sha256 {model.sha256[:8]}"


def _spoken(report: LatencyReport) -> str:
    return "continuous" if report.continuous else "with pauses"


def _stages(emotions: list[tuple[float, EmotionEvent]]) -> dict[str, Distribution]:
    stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for received_at, event in emotions:
        for stage in STAGES[:-2]:
            stages[stage].append(getattr(event.latency_ms, stage))
        stages["receive"].append(_receive(received_at, event))
        stages["total"].append(_total(received_at, event))
    return {stage: Distribution(values) for stage, values in stages.items()}


def _receive(received_at: float, event: EmotionEvent) -> float:
    """Milliseconds from being sent to being decoded; both times are by this machine's clock."""
    return max(0.0, received_at - event.time) * 1000


def _total(received_at: float, event: EmotionEvent) -> float:
    return event.latency_ms.total + _receive(received_at, event)
