"""The page of a latency report, as a browser shows it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from edgeser.bench.figures import Distribution
from edgeser.bench.latency import STAGES, Algorithmic, LatencyReport
from edgeser.bench.machine import this_machine
from edgeser.bench.page import page
from edgeser.bench.show import show_comparison
from edgeser.events.schema import ModelRef
from tests.page.world import chromium


def report(totals: list[float]) -> LatencyReport:
    """Events whose time was all in inference."""
    nothing = Distribution([0.0] * len(totals))
    stages = dict.fromkeys(STAGES, nothing)
    singles = ("cpu_percent", "rss_peak_mb", "ready_s", "dropped_windows")
    return LatencyReport(
        command="edgeser bench latency --json new.json",
        date="2026-11-22 12:00",
        machine=this_machine(),
        warning="",
        model=ModelRef(name="streaming6", version="1.2.0", sha256="0123456789abcdef" * 4),
        backend="onnxruntime/CPU",
        transport="ipc",
        seconds=30,
        partials=len(totals),
        finals=0,
        stages={**stages, "inference": Distribution(totals), "total": Distribution(totals)},
        overhead=Distribution([1.0] * len(totals)),
        algorithmic=Algorithmic(hop_s=0.5, closing_silence_s=0.4),
        singles=dict.fromkeys(singles, 1.0),
    )


@pytest.mark.parametrize(("highest", "label"), [(6.4, "6.5"), (0.4, "0.4"), (120.0, "150")])
def test_axes_are_labelled_with_where_they_end(highest: float, label: str) -> None:
    shown = page(report([highest / 2, highest]))
    assert f">{label} ms</text>" in shown  # of the histogram
    assert f"<text x=6 y=20>{label}</text><text x=6 y=34>ms</text>" in shown


def test_of_a_long_run_a_thousand_events_are_drawn_the_slowest_too() -> None:
    totals = [1.0] * 50_000
    totals[31_416] = 99.0
    shown = page(report(totals))
    assert len(shown) < 2e6
    assert "Drawn are 1000 of 50000 events: of neighbours the slowest." in shown
    assert ">50000 events</text>" in shown
    heights = [float(h) for h in re.findall("height=([0-9.]+) fill='#c8553d'", shown)]
    assert len(heights) == 1000
    assert max(heights) > 50 * min(heights)
    assert "Drawn are" not in page(report(totals[:1000]))


def test_overhead_has_a_ratio_to_the_older_run() -> None:
    old, new = report([4.0] * 50), report([2.0] * 50)
    row = re.search("<tr><td>overhead.*?</tr>", page(new, old))
    assert row is not None
    assert "1.00 (1.00 to 1.00)" in row[0]
    said = io.StringIO()
    show_comparison(new, old, Console(file=said, width=100))
    assert re.search("overhead +1.00 +1.00 to 1.00", said.getvalue())


def test_the_page_fits_a_phone(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(page(report([4.0] * 50), report([2.0] * 50)))
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 360, "height": 700})
        tab.goto(file.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
