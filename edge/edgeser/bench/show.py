"""A latency report for a terminal."""

from __future__ import annotations

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgeser.bench.figures import PERCENTILES, Distribution, ratios
from edgeser.bench.latency import STAGES, LatencyReport

_BARS = " ▁▂▃▄▅▆▇█"
_BINS = 60


def show(report: LatencyReport, console: Console) -> None:
    """Print the report. ``console``: a ``plain_console``."""
    machine = report.machine
    console.print(
        Text.assemble(
            (f"{report.model.name} {report.model.version}", "bold"),
            f" on {report.backend}, {report.seconds:g} s of speech, "
            f"subscriber over {report.transport}",
        )
    )
    console.print(
        f"{machine.cpu}, {machine.cores} cores, {machine.architecture}, Linux {machine.kernel}, "
        f"Python {machine.python}"
    )
    if report.warning:
        console.print(f"{report.warning}: treat these figures with caution", style="bold red")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("ms")
    for name in PERCENTILES:
        table.add_column(name, justify="right")
    table.add_column("what")
    for stage in STAGES:
        _row(table, stage, report.stages[stage], _WHAT[stage])
    _row(table, "overhead", report.overhead, "total less inference")
    console.print(table)
    total = report.stages["total"]
    console.print(f"total {histogram(total)} {total.percentile('max'):.1f} ms")
    singles, delay = report.singles, report.algorithmic
    console.print(
        f"\n{report.partials} partials and {report.finals} finals, "
        f"{singles['dropped_windows']:.0f} windows dropped, {singles['gaps']:.0f} gaps; "
        f"by design a partial every {delay.hop_s:g} s, a final {delay.closing_silence_s:g} s "
        "after its last sample"
    )
    console.print(
        f"processor {singles['cpu_percent']:.1f} % of a core "
        f"(real-time factor {singles['real_time_factor']:.3f}), "
        f"memory {singles['rss_peak_mb']:.0f} MB at most, {singles['rss_growth_mb']:+.1f} MB since "
        f"it settled, ready in {singles['ready_s']:.2f} s"
    )


def show_comparison(new: LatencyReport, old: LatencyReport, console: Console) -> None:
    """Print the ratio of each stage to an older report's, with its interval."""
    table = Table(title=f"ratio to the run of {old.date}", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("stage")
    for name in ("p50", "p99"):
        table.add_column(name, justify="right")
        table.add_column("95 % interval", justify="right")
    found = {name: ratios(new.distributions, old.distributions, name) for name in ("p50", "p99")}
    for stage in new.distributions:
        cells = []
        for name in ("p50", "p99"):
            if stage in found[name]:
                ratio, low, high = found[name][stage]
                cells += [f"{ratio:.2f}", f"{low:.2f} to {high:.2f}"]
            else:
                cells += ["-", "-"]
        table.add_row(stage, *cells)
    console.print(table)
    if doubts := new.doubts(old):
        console.print(f"{doubts}: treat the ratio with caution", style="bold red")


def histogram(distribution: Distribution) -> str:
    """Sixty bars from 0 to the maximum, logarithmic in height, so that a tail can be seen."""
    counts, _ = np.histogram(
        distribution.values, _BINS, (0, max(1e-9, distribution.percentile("max")))
    )
    heights = np.log1p(counts) / max(1e-9, np.log1p(counts.max())) * (len(_BARS) - 1)
    return "".join(_BARS[int(np.ceil(height))] for height in heights)


def _row(table: Table, title: str, distribution: Distribution, what: str) -> None:
    figures = (f"{distribution.percentile(name):.2f}" for name in PERCENTILES)
    style = "bold" if title == "total" else ""
    table.add_row(title, *figures, Text(what, "dim"), style=style)


_WHAT = {
    "capture": "capture to arrival",
    "segment": "VAD and segmentation",
    "features": "log-mel frames that are new",
    "queue": "waiting for the worker",
    "inference": "network and decision",
    "publish": "waiting for the publisher",
    "receive": "sent to decoded",
    "total": "capture to decoded",
}
