"""Counters and state of filling the lake, for people and for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeser.metrics_server import MetricsServer, Named, ReadFigures, new_registry


@dataclass
class Figures:
    """Counters and state. Read by other threads."""

    connected: bool = False
    trouble: str = ""
    connections: int = 0
    held: int = 0
    pending: int = 0
    rows: int = 0
    known: int = 0
    rejected: int = 0
    written_at: float = 0.0

    @property
    def is_well(self) -> bool:
        """Whether events are being taken."""
        return self.connected and not self.trouble

    @property
    def line(self) -> str:
        """The state in one line, for people."""
        if not self.connected:
            return f"waits: {self.trouble}" if self.trouble else "connects"
        line = f"connected, {self.rows} rows written, {self.held} held, {self.pending} to come"
        return f"{line}; {self.trouble}" if self.trouble else line


def serve(figures: Figures, listen: str, hosts: Sequence[str] = ()) -> MetricsServer:
    """Serve ``/metrics`` at ``HOST:PORT`` until the process ends.

    ``hosts``: other values of the Host header that it accepts. Raises UserError when ``listen`` is
    malformed or in use.
    """

    def gauges() -> Named:
        return {
            "connected": ("1 while the NATS server is connected.", figures.connected),
            "failing": ("1 while something is wrong; the log says what.", bool(figures.trouble)),
            "held": ("Events taken and not written yet.", figures.held),
            "pending": ("Events that the stream held besides, when last written.", figures.pending),
            "written_timestamp_seconds": ("When it was last written to.", figures.written_at),
        }

    def totals() -> Named:
        return {
            "connections": ("Times that the NATS server was connected.", figures.connections),
            "rows": ("Rows written.", figures.rows),
            "known": ("Events left out because they were there already.", figures.known),
            "rejected": ("Messages that are no events of ours.", figures.rejected),
        }

    registry = new_registry()
    registry.register(ReadFigures("edgeser_lake", gauges, totals))
    return MetricsServer(listen, registry, hosts=hosts, key="lake.metrics")
