"""Metrics for Prometheus at ``/metrics``, and ``/healthz`` for whoever restarts what is ill."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from edgeser.daemon.intake import Intake
from edgeser.errors import UserError
from edgeser.events.schema import EmotionEvent, Event, FaultEvent, Latency
from edgeser.settings.load import host_and_port

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_REQUEST_TIMEOUT_S = 5.0


class Gauges(msgspec.Struct, frozen=True):
    """What the whole daemon is like at a moment."""

    backlog: int
    subscriptions: int
    troubles: list[str]


class Metrics:
    """Counts events as they are sent, and asks the intakes when it is scraped."""

    def __init__(self, intakes: Mapping[str, Intake], gauges: Callable[[], Gauges]) -> None:
        self._registry = CollectorRegistry()
        self._gauges = gauges
        self._latency = Histogram(
            "edgeser_latency_seconds",
            "Time that a stage took; total: from capture to the socket.",
            ["stream", "kind", "stage"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._emotions = Counter(
            "edgeser_emotions",
            "Emotion events by label.",
            ["stream", "kind", "label"],
            registry=self._registry,
        )
        self._faults = Counter(
            "edgeser_faults", "Faults by code.", ["stream", "code"], registry=self._registry
        )
        self._registry.register(_State(intakes, gauges))

    def observe(self, event: Event) -> None:
        """Take account of an event as it was sent; in the publisher's thread."""
        if isinstance(event, EmotionEvent):
            self._emotions.labels(event.stream, event.kind, event.label).inc()
            for stage in Latency.__struct_fields__:
                milliseconds: float = getattr(event.latency_ms, stage)
                self._latency.labels(event.stream, event.kind, stage).observe(milliseconds / 1000)
        elif isinstance(event, FaultEvent):
            self._faults.labels(event.stream, event.code).inc()

    def page(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def troubles(self) -> list[str]:
        """Why the daemon is not well; empty when it is."""
        return self._gauges().troubles


class _State(Collector):
    """What the intakes count themselves, and what is true just now."""

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
        age = GaugeMetricFamily(
            "edgeser_frame_age_seconds", "Since the last audio block.", labels=["stream"]
        )
        speech = GaugeMetricFamily("edgeser_in_speech", "A segment is open.", labels=["stream"])
        muted = GaugeMetricFamily(
            "edgeser_muted", "What is heard does not count.", labels=["stream"]
        )
        info = GaugeMetricFamily(
            "edgeser_model_info",
            "The model in use.",
            labels=["stream", "name", "version", "sha256", "backend"],
        )
        drops = CounterMetricFamily(
            "edgeser_dropped_windows", "Partials dropped.", labels=["stream", "reason"]
        )
        totals = {
            name: CounterMetricFamily(f"edgeser_{name}", text, labels=["stream"])
            for name, text in _TOTALS.items()
        }
        for name, intake in self._intakes.items():
            if intake.frame_age_s is not None:
                age.add_metric([name], intake.frame_age_s)
            speech.add_metric([name], intake.hearing.in_speech)
            muted.add_metric([name], intake.is_muted)
            model = intake.hearing.model
            described = [name, model.ref.name, model.ref.version, model.ref.sha256]
            info.add_metric([*described, model.backend.name], 1)
            for reason, windows in intake.account.drops.items():
                drops.add_metric([name, reason], windows)
            counters = intake.counters
            for total, family in totals.items():
                family.add_metric([name], getattr(counters, total))
        yield from (age, speech, muted, info, drops, *totals.values())


_TOTALS = {
    "samples": "Samples heard.",
    "lost_samples": "Samples dropped by the device or its driver.",
    "overflows": "Times the device dropped samples.",
    "restarts": "Times the audio source was restarted.",
    "segments": "Speech segments begun.",
    "rejected_segments": "Sounds that the VAD took for speech and that were no voice.",
}


class MetricsServer:
    """Serves the metrics over HTTP until closed."""

    def __init__(self, listen: str, metrics: Metrics, hosts: Sequence[str] = ()) -> None:
        """``listen``: ``HOST:PORT``. ``hosts``: by what other ``HOST:PORT`` it may be asked.

        A web page in a browser can make a name of its own lead here, so a request that names
        another host is refused. Raises UserError when ``listen`` is malformed or in use.
        """
        address = host_and_port(listen)
        try:
            self._server = _Server(address, metrics, hosts)
        except OSError as error:
            raise UserError(
                f"metrics.listen: cannot use {listen}: {error.strerror or error}; choose another"
            ) from error
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], metrics: Metrics, hosts: Sequence[str]) -> None:
        self.metrics = metrics
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)
        own = (address[0], "localhost", "127.0.0.1", "::1")
        port: int = self.server_address[1]
        self.hosts = {f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in own}
        self.hosts |= {host.lower() for host in hosts}


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _REQUEST_TIMEOUT_S

    def do_GET(self) -> None:
        if self.headers.get("Host", "").lower() not in self.server.hosts:
            self._answer(421, "text/plain", b"no such host here; name it in metrics.hosts\n")
        elif self.path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, self.server.metrics.page())
        elif self.path == "/healthz":
            troubles = self.server.metrics.troubles()
            text = "".join(f"{trouble}\n" for trouble in troubles) or "ok\n"
            self._answer(503 if troubles else 200, "text/plain; charset=utf-8", text.encode())
        else:
            self._answer(404, "text/plain", b"there is /metrics and /healthz\n")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a scrape is no news."""
