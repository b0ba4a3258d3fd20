"""A latency report as one self-contained HTML page, without scripts or external resources."""

from __future__ import annotations

from html import escape

import numpy as np

from edgeser.bench.figures import PERCENTILES, Distribution, ratios
from edgeser.bench.latency import STAGES, LatencyReport

_COLOURS = {
    "capture": "#7aa6c2",
    "segment": "#4c8c6b",
    "features": "#a3c585",
    "queue": "#e0b354",
    "inference": "#c8553d",
    "publish": "#8d6a9f",
    "receive": "#5b7db1",
}
_MAX_BARS = 1000
"""Most bars of a plot; a longer run is split into as many stretches, each shown by its slowest
event."""

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 720, 220, 46, 26

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fafaf8; margin: 2rem auto;
       max-width: 760px; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .15rem .6rem .15rem 0; text-align: right } th:first-child, td:first-child
{ text-align: left } tr.total td { font-weight: 600; border-top: 1px solid #bbb }
td.fact { text-align: left; overflow-wrap: anywhere }
.warning { background: #fbe3dd; border-left: 4px solid #c8553d; padding: .5rem 1rem }
.cards { display: flex; flex-wrap: wrap; gap: .8rem } .card { background: #fff; border: 1px solid
#e3e3dd; border-radius: 8px; padding: .6rem 1rem; min-width: 7rem } .card b { display: block;
font-size: 1.35rem } .dim { color: #777 } svg { width: 100%; height: auto; background: #fff;
border: 1px solid #e3e3dd; border-radius: 8px } svg text { font: 11px system-ui, sans-serif;
fill: #555 } .key { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 .9em }
@media (prefers-color-scheme: dark) { body { background: #1b1c1e; color: #ddd } .card, svg {
background: #242628; border-color: #3a3c3f } svg text { fill: #aaa } .warning { background: #4a2a22
} }
"""


def page(report: LatencyReport, old: LatencyReport | None = None) -> str:
    """The page. ``old``: a report to compare with."""
    machine, singles = report.machine, report.singles
    total = report.stages["total"]
    title = f"edgeser bench latency: {report.model.name} {report.model.version}"
    cards = {
        "median": f"{total.percentile('p50'):.1f} ms",
        "99 %": f"{total.percentile('p99'):.1f} ms",
        "overhead, median": f"{report.overhead.percentile('p50'):.2f} ms",
        "of a core": f"{singles['cpu_percent']:.1f} %",
        "memory": f"{singles['rss_peak_mb']:.0f} MB",
        "ready in": f"{singles['ready_s']:.2f} s",
        "dropped": f"{singles['dropped_windows']:.0f}",
    }
    facts = {
        "machine": f"{machine.cpu}, {machine.cores} cores, {machine.memory_mb} MB, "
        f"{machine.architecture}, Linux {machine.kernel}",
        "governor": machine.governor or "not readable",
        "temperature": "not readable"
        if machine.temperature_c is None
        else f"{machine.temperature_c:.0f} °C",
        "versions": f"edgeser {machine.edgeser}, Python {machine.python}, "
        + ", ".join(f"{name} {version}" for name, version in machine.libraries.items()),
        "model": f"{report.model.name} {report.model.version}, sha256 {report.model.sha256}, "
        f"on {report.backend}",
        "command": report.command,
    }
    delay = report.algorithmic
    doubts = "" if old is None else report.doubts(old)
    return "\n".join(
        (
            "<!doctype html><html lang=en><meta charset=utf-8>",
            '<meta name=viewport content="width=device-width">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style>",
            f"<h1>{escape(title)}</h1>",
            f"<p class=dim>{escape(report.date)}, {report.seconds:g} s of speech, "
            f"{report.partials} partial and {report.finals} final events, subscriber over "
            f"{escape(report.transport)}</p>",
            f"<p class=warning>{escape(report.warning)}: treat these figures with caution.</p>"
            if report.warning
            else "",
            "<div class=cards>",
            *(f"<div class=card>{k}<b>{escape(v)}</b></div>" for k, v in cards.items()),
            "</div>",
            "<h2>From capture to the subscriber</h2>",
            _histogram(total),
            "<h2>Every event, and where its time went</h2>",
            _timeline(report),
            "<p>" + "".join(_key(stage) for stage in _COLOURS) + "</p>",
            f"<p class=dim>Drawn are {len(_slowest(total))} of {len(total.values)} events: of "
            "neighbours the slowest.</p>"
            if len(total.values) > _MAX_BARS
            else "",
            "<h2>Stages</h2>",
            _table(report, old),
            f"<p class=warning>{escape(doubts)}: treat the ratio with caution.</p>"
            if doubts
            else "",
            f"<p class=dim>By design, and not in these figures: a partial comes every "
            f"{delay.hop_s:g} s of speech, a final {delay.closing_silence_s:g} s after its last "
            "sample.</p>",
            "<h2>Where this was measured</h2><table>",
            *(f"<tr><td>{k}<td class=fact>{escape(v)}</tr>" for k, v in facts.items()),
            "</table></html>",
        )
    )


def _histogram(distribution: Distribution) -> str:
    counts, edges = np.histogram(distribution.values, 60, (0, _ceiling(distribution)))
    highest = max(1, counts.max())
    plot = _HEIGHT - _BOTTOM - 10
    step = (_WIDTH - _LEFT - 10) / len(counts)
    bars = []
    for i, count in enumerate(counts):
        height = plot * count / highest
        bars.append(
            f"<rect x={_LEFT + i * step:.1f} y={10 + plot - height:.1f} width={step - 1:.1f} "
            f"height={height:.1f} fill='#5b7db1'><title>{edges[i]:.1f} to {edges[i + 1]:.1f} ms: "
            f"{count}</title></rect>"
        )
    for name in ("p50", "p95", "p99"):
        value = distribution.percentile(name)
        x = _LEFT + (_WIDTH - _LEFT - 10) * value / edges[-1]
        bars.append(
            f"<line x1={x:.1f} x2={x:.1f} y1=10 y2={10 + plot} stroke='#c8553d' "
            f"stroke-dasharray='3 3'/><text x={x + 3:.1f} y=20>{name}</text>"
        )
    return _figure(bars, f"{edges[-1]:g}", f"{highest}", "events", "ms")


def _timeline(report: LatencyReport) -> str:
    totals = report.stages["total"]
    ceiling = _ceiling(totals)
    plot = _HEIGHT - _BOTTOM - 10
    drawn = _slowest(totals)
    step = (_WIDTH - _LEFT - 10) / len(drawn)
    bars = []
    for place, i in enumerate(drawn):
        y = 10.0 + plot
        for stage, colour in _COLOURS.items():
            height = plot * report.stages[stage].values[i] / ceiling
            y -= height
            bars.append(
                f"<rect x={_LEFT + place * step:.2f} y={y:.2f} width={max(0.4, step - 0.3):.2f} "
                f"height={height:.2f} fill='{colour}'/>"
            )
    return _figure(bars, f"{len(totals.values)}", f"{ceiling:g}", "ms", "events")


def _slowest(totals: Distribution) -> list[int]:
    """Indices of the events to draw: all, or the slowest of each of ``_MAX_BARS`` stretches."""
    count = min(len(totals.values), _MAX_BARS)
    stretches = np.array_split(np.arange(len(totals.values)), count)
    return [max(stretch.tolist(), key=totals.values.__getitem__) for stretch in stretches]


def _figure(shapes: list[str], right: str, top: str, vertical: str, horizontal: str) -> str:
    ground = _HEIGHT - _BOTTOM
    return (
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role=img>{''.join(shapes)}"
        f"<line x1={_LEFT} x2={_WIDTH - 10} y1={ground} y2={ground} stroke='#999'/>"
        f"<text x=6 y=20>{top}</text><text x=6 y=34>{vertical}</text>"
        f"<text x={_LEFT} y={_HEIGHT - 8}>0</text>"
        f"<text x={_WIDTH - 10} y={_HEIGHT - 8} text-anchor=end>{right} {horizontal}</text>"
        "</svg>"
    )


def _table(report: LatencyReport, old: LatencyReport | None) -> str:
    found = {} if old is None else ratios(report.distributions, old.distributions, "p50")
    rows = ["<table><tr><th>ms" + "".join(f"<th>{name}" for name in PERCENTILES)]
    rows.append("<th>p50 to the older run</tr>" if old else "</tr>")
    for stage, values in report.distributions.items():
        cells = "".join(f"<td>{values.percentile(name):.2f}" for name in PERCENTILES)
        ratio = ""
        if stage in found:
            middle, low, high = found[stage]
            ratio = f"<td>{middle:.2f} ({low:.2f} to {high:.2f})"
        kind = " class=total" if stage == STAGES[-1] else ""
        rows.append(f"<tr{kind}><td>{stage}{cells}{ratio}</tr>")
    return "".join(rows) + "</table>"


def _key(stage: str) -> str:
    return f"<span class=key style='background:{_COLOURS[stage]}'></span>{stage}"


def _ceiling(distribution: Distribution) -> float:
    """A round number at or above the maximum."""
    highest = max(1e-3, distribution.percentile("max"))
    unit = 10 ** np.floor(np.log10(highest))
    return float(np.ceil(highest / unit * 2) * unit / 2)
