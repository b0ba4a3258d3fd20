"""The bridge's figures for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edgeser.bridges.mqtt.session import Figures
from edgeser.metrics_server import MetricsServer, new_registry


class _Figures(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        figures = self._figures
        gauges = {
            "connected": ("1 while the broker is connected.", figures.connected),
            "in_flight": ("Events sent and not acknowledged.", figures.in_flight),
            "cursor_failing": (
                "1 while the cursor cannot be written.",
                bool(figures.cursor_trouble),
            ),
        }
        totals = {
            "connections": ("Times that the broker was connected.", figures.connections),
            "events": ("Kept events that the broker acknowledged.", figures.handed_over),
            "refused": ("Messages that the broker does not take.", figures.refused),
            "missed": ("Numbers that the journal no longer held.", figures.missed),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"edgeser_mqtt_{name}", text, value)
        for name, (text, total) in totals.items():
            yield CounterMetricFamily(f"edgeser_mqtt_{name}", text, total)


def serve(figures: Figures, listen: str, hosts: Sequence[str] = ()) -> MetricsServer:
    """Serve ``/metrics`` at ``HOST:PORT`` until the process ends.

    ``hosts``: by what other ``HOST:PORT`` it may be asked. Raises UserError when ``listen`` is
    malformed or in use.
    """
    registry = new_registry()
    registry.register(_Figures(figures))
    return MetricsServer(listen, registry, hosts=hosts, key="mqtt.metrics")
