"""Metrics of a process over HTTP: ``/metrics`` for Prometheus, and ``/healthz``."""

from __future__ import annotations

import logging
import platform
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from edgeser import __version__
from edgeser.errors import UserError
from edgeser.host_port import bracketed
from edgeser.settings.load import host_and_port

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 5.0
"""A connection is cut when its request and answer take longer."""

MAX_CONNECTIONS = 8
"""Connections at a time, each with a thread; more are closed at once."""

Troubles: TypeAlias = Callable[[], list[str]]
"""Why the process is not well, a line each."""


def new_registry() -> CollectorRegistry:
    """A registry with what every process has: its build, and its use of CPU, memory and files."""
    registry = CollectorRegistry()
    build = Info("edgeser_build", "The program that runs.", registry=registry)
    build.info({"version": __version__, "python": platform.python_version()})
    ProcessCollector(registry=registry)
    return registry


Named: TypeAlias = Mapping[str, tuple[str, float]]
"""Description and value of each figure, by its name."""


@dataclass(frozen=True)
class ReadFigures(Collector):
    """Figures that are read at each scrape; ``prefix`` stands before their names."""

    prefix: str
    gauges: Callable[[], Named]
    totals: Callable[[], Named]

    def collect(self) -> Iterable[Metric]:
        for name, (text, value) in self.gauges().items():
            yield GaugeMetricFamily(f"{self.prefix}_{name}", text, value)
        for name, (text, total) in self.totals().items():
            yield CounterMetricFamily(f"{self.prefix}_{name}", text, total)


class MetricsServer:
    """Serves the metrics over HTTP until closed."""

    def __init__(
        self,
        listen: str,
        registry: CollectorRegistry,
        *,
        hosts: Sequence[str] = (),
        troubles: Troubles | None = None,
        key: str = "metrics.listen",
    ) -> None:
        """``listen``: ``HOST:PORT``. ``hosts``: other values of the Host header that it accepts.

        A web page can make a name of its own resolve to this address (DNS rebinding), so a request
        for another host is refused. ``troubles``: for ``/healthz``, which is absent without it.
        ``key``: the setting that ``listen`` comes from. Raises UserError when ``listen`` is
        malformed or in use.
        """
        address = host_and_port(listen, key)
        try:
            self._server = _Server(address, registry, hosts, troubles)
        except OSError as error:
            raise UserError(
                f"{key}: cannot use {listen}: {error.strerror or error}", "choose another"
            ) from error
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        registry: CollectorRegistry,
        hosts: Sequence[str],
        troubles: Troubles | None,
    ) -> None:
        self.registry = registry
        self.troubles = troubles
        self._until: dict[socket.socket, float] = {}  # by the connection, in monotonic seconds
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)
        own = (address[0], "localhost", "127.0.0.1", "::1")
        port: int = self.server_address[1]
        self.hosts = {f"{bracketed(name)}:{port}" for name in own}
        self.hosts |= {host.lower() for host in hosts}

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return len(self._until) < MAX_CONNECTIONS

    def process_request(self, request: Any, client_address: Any) -> None:
        self._until[request] = time.monotonic() + REQUEST_TIMEOUT_S
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._until.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Twice a second: cut slow connections; the socket's timeout starts anew at each byte."""
        now = time.monotonic()
        for connection, until in list(self._until.items()):
            if now > until:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # OSError: the client has gone
            log.exception("a request for metrics could not be answered")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_TIMEOUT_S

    def do_GET(self) -> None:
        troubles = self.server.troubles
        if self.headers.get("Host", "").lower() not in self.server.hosts:
            refusal = b"no such host here; name it in metrics.hosts, with its port\n"
            self._answer(421, "text/plain", refusal)
        elif self.path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(self.server.registry))
        elif self.path == "/healthz" and troubles is not None:
            found = troubles()
            text = "".join(f"{trouble}\n" for trouble in found) or "ok\n"
            self._answer(503 if found else 200, "text/plain; charset=utf-8", text.encode())
        else:
            there = "/metrics" if troubles is None else "/metrics and /healthz"
            self._answer(404, "text/plain", f"there is {there}\n".encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: scrapes are routine."""
