"""Counters and state of a bridge, for people and for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeser.metrics_server import MetricsServer, Named, ReadFigures, new_registry


@dataclass
class Figures:
    """Counters and state of the bridge. Read by other threads."""

    connected: bool = False
    trouble: str = ""
    connections: int = 0
    handed_over: int = 0
    refused: int = 0
    missed: int = 0
    in_flight: int = 0
    cursor_trouble: str = ""
    daemon_trouble: str = ""

    @property
    def is_well(self) -> bool:
        """Whether events are being handed on."""
        return self.connected and not (self.trouble or self.cursor_trouble or self.daemon_trouble)

    @property
    def line(self) -> str:
        """The state in one line, for people."""
        if not self.connected:
            return f"waits: {self.trouble}" if self.trouble else "connects"
        words = [f"connected, {self.handed_over} events handed over, {self.in_flight} in flight"]
        for name, trouble in (("daemon", self.daemon_trouble), ("cursor", self.cursor_trouble)):
            if trouble:
                words.append(f"{name}: {trouble}")
        return "; ".join([*words, self.trouble] if self.trouble else words)


def serve(
    figures: Figures, listen: str, kind: str, server: str, hosts: Sequence[str] = ()
) -> MetricsServer:
    """Serve ``/metrics`` at ``HOST:PORT`` until the process ends.

    ``kind``: ``mqtt`` or ``nats``, in the metrics' names; ``server``: its word for the server;
    ``hosts``: other values of the Host header that it accepts. Raises UserError when ``listen`` is
    malformed or in use.
    """

    def gauges() -> Named:
        return {
            "connected": (f"1 while the {server} is connected.", figures.connected),
            "in_flight": ("Events sent and not acknowledged.", figures.in_flight),
            "cursor_failing": (
                "1 while the cursor cannot be written.",
                bool(figures.cursor_trouble),
            ),
        }

    def totals() -> Named:
        return {
            "connections": (f"Times that the {server} was connected.", figures.connections),
            "events": (f"Kept events that the {server} acknowledged.", figures.handed_over),
            "refused": (f"Messages that the {server} does not take.", figures.refused),
            "missed": ("Numbers that the journal no longer held.", figures.missed),
        }

    registry = new_registry()
    registry.register(ReadFigures(f"edgeser_{kind}", gauges, totals))
    return MetricsServer(listen, registry, hosts=hosts, key=f"{kind}.metrics")
