"""The daemon's metrics for Prometheus. Every counter is there from the start, at zero."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edgeser.daemon.intake import Intake
from edgeser.events.journal.file import ForeignFileError, size_of
from edgeser.events.journal.reader import JournalReader
from edgeser.events.schema import (
    FAULT_CODES,
    UNKNOWN,
    EmotionEvent,
    Event,
    FaultEvent,
    Latency,
    StatusEvent,
)
from edgeser.metrics_server import new_registry

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
KINDS = ("partial", "final")
DROPPED_TYPES = ("emotion", "status", "level")
"""Types of which events may be dropped; of emotions only partials: a journaled event never is."""


class Gauges(msgspec.Struct, frozen=True):
    """The state of the whole daemon at a moment.

    ``dropped``: events that were not sent, by topic. ``journal``: its file; None where there is
    none. ``journal_off``: it cannot be written.
    """

    backlog: int
    subscriptions: int
    troubles: list[str]
    dropped: dict[str, int]
    journal: Path | None = None
    journal_off: bool = False


class Metrics:
    """Counts events as they are sent, and asks the intakes when it is scraped."""

    def __init__(self, intakes: Mapping[str, Intake], gauges: Callable[[], Gauges]) -> None:
        self.registry = new_registry()
        self._latency = Histogram(
            "edgeser_latency_seconds",
            "Time that a stage took; total: from capture to the socket.",
            ["stream", "kind", "stage"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._emotions = Counter(
            "edgeser_emotions",
            "Emotion events by label.",
            ["stream", "kind", "label"],
            registry=self.registry,
        )
        self._faults = Counter(
            "edgeser_faults", "Faults by code.", ["stream", "code"], registry=self.registry
        )
        self.registry.register(_State(intakes, gauges))
        for name, intake in intakes.items():
            self._begin(name, intake.hearing.model.labels)

    def observe(self, event: Event) -> None:
        """Take account of an event as it was sent; in the publisher's thread."""
        if isinstance(event, EmotionEvent):
            self._emotions.labels(event.stream, event.kind, event.label).inc()
            for stage in Latency.__struct_fields__:
                milliseconds: float = getattr(event.latency_ms, stage)
                self._latency.labels(event.stream, event.kind, stage).observe(milliseconds / 1000)
        elif isinstance(event, FaultEvent):
            self._faults.labels(event.stream, event.code).inc()
        elif isinstance(event, StatusEvent):  # a reloaded model may have other labels
            self._begin_labels(event.stream, event.labels)

    def _begin(self, stream: str, labels: Sequence[str]) -> None:
        """Export every counter at zero, so that its first event shows as an increase."""
        for code in FAULT_CODES:
            self._faults.labels(stream, code)
        for kind in KINDS:
            for stage in Latency.__struct_fields__:
                self._latency.labels(stream, kind, stage)
        self._begin_labels(stream, labels)

    def _begin_labels(self, stream: str, labels: Sequence[str]) -> None:
        for kind in KINDS:
            for label in (*labels, UNKNOWN):
                self._emotions.labels(stream, kind, label)


class _State(Collector):
    """The counts of the intakes, and their present state."""

    def __init__(self, intakes: Mapping[str, Intake], gauges: Callable[[], Gauges]) -> None:
        self._intakes = intakes
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        gauges = self._gauges()
        yield GaugeMetricFamily("edgeser_backlog", "Windows that wait.", gauges.backlog)
        yield GaugeMetricFamily(
            "edgeser_subscriptions", "Topics subscribed to.", gauges.subscriptions
        )
        yield GaugeMetricFamily("edgeser_healthy", "1 if /healthz says ok.", not gauges.troubles)
        if gauges.journal is not None:
            yield from _journal(gauges.journal, off=gauges.journal_off)
        for name, (text, value_of) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"edgeser_{name}", text, labels=["stream"])
            for stream, intake in self._intakes.items():
                if (value := value_of(intake)) is not None:
                    gauge.add_metric([stream], value)
            yield gauge
        info = GaugeMetricFamily(
            "edgeser_model_info",
            "The model in use.",
            labels=["stream", "name", "version", "sha256", "backend"],
        )
        drops = CounterMetricFamily(
            "edgeser_dropped_windows", "Partials dropped.", labels=["stream", "reason"]
        )
        unsent = CounterMetricFamily(
            "edgeser_dropped_events",
            "Events dropped because too many waited to be sent.",
            labels=["stream", "type"],
        )
        totals = {
            name: CounterMetricFamily(f"edgeser_{name}", text, labels=["stream"])
            for name, text in _TOTALS.items()
        }
        for name, intake in self._intakes.items():
            model = intake.model
            described = [name, model.ref.name, model.ref.version, model.ref.sha256]
            info.add_metric([*described, model.backend.name], 1)
            for reason, windows in intake.reporter.drops.items():
                drops.add_metric([name, reason], windows)
            for kind in DROPPED_TYPES:
                unsent.add_metric([name, kind], gauges.dropped.get(f"{kind}.{name}", 0))
            counters = intake.counters
            for total, family in totals.items():
                family.add_metric([name], getattr(counters, total))
        yield from (info, drops, unsent, *totals.values())


def _journal(path: Path, *, off: bool) -> Iterable[Metric]:
    """The extent of the journal; for a file that cannot be read only that it is off."""
    yield GaugeMetricFamily("edgeser_journal_off", "1 while events are not kept.", off)
    try:
        with JournalReader(path) as reader:
            held = reader.extent()
        size = size_of(path)
    except (OSError, sqlite3.Error, ForeignFileError):
        return
    yield GaugeMetricFamily("edgeser_journal_bytes", "Size of the journal and its log.", size)
    yield GaugeMetricFamily(
        "edgeser_journal_events", "Events that the journal holds.", held.entries if held else 0
    )
    oldest = GaugeMetricFamily(
        "edgeser_journal_oldest_timestamp_seconds", "When the oldest event held was published."
    )
    if held is not None:
        oldest.add_metric([], held.first)
    yield oldest


_GAUGES: dict[str, tuple[str, Callable[[Intake], float | None]]] = {
    "frame_age_seconds": ("Since the last audio block.", lambda intake: intake.frame_age_s),
    "in_speech": ("A segment is open.", lambda intake: intake.hearing.in_speech),
    "muted": ("What is heard does not count.", lambda intake: intake.is_muted),
    "wrong_pace": (
        "Sound comes faster or slower than time passes.",
        lambda intake: intake.wrong_pace,
    ),
    "level_dbfs": (
        "RMS level of the sound of the last status' second, dB below full scale.",
        lambda intake: intake.hearing.meter.last_dbfs,
    ),
    "noise_floor_dbfs": (
        "Noise floor, dB below full scale.",
        lambda intake: intake.hearing.meter.floor_dbfs,
    ),
}
"""Of each stream: description and value, which may be missing."""

_TOTALS = {
    "samples": "Samples heard.",
    "lost_samples": "Samples dropped by the device or its driver.",
    "overflows": "Times the device dropped samples.",
    "restarts": "Times the audio source was restarted.",
    "segments": "Speech segments begun.",
    "rejected_segments": "Sounds that the VAD took for speech and that were no voice.",
}
