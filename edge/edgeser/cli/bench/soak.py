"""``edgeser bench soak``: what grows, drifts or gets lost in the long run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edgeser.cli.bench.options import report_option, speech_option, this_command
from edgeser.cli.bench.outcome import as_json, conclude
from edgeser.cli.options import model_option
from edgeser.errors import UserError


@click.command()
@click.option(
    "--hours", default=1.0, show_default=True, metavar="HOURS", help="Of sound, not of run time."
)
@speech_option
@model_option
@report_option
def soak(hours: float, speech: Path | None, model: str | None, json_file: Path | None) -> None:
    """Does anything grow, drift or get lost in the long run?

    Speech and silence go through a real daemon as fast as it processes them. Exit code 1 if a final
    or an event was lost, or the sample clock drifted.

    \b
    Example: edgeser bench soak --hours 72
    """
    if not 0 < hours <= 10_000:
        raise UserError(f"--hours: expected more than 0 and at most 10000, got {hours:g}")

    from edgeser.bench import SPEECH_FILE
    from edgeser.bench.soak import SLOPE_HOURS, measure

    def tell(done: float, rss_mb: float) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done:8.2f} of {hours:g} h, {rss_mb:.1f} MB ", nl=False, err=True)

    report = measure(speech or SPEECH_FILE, hours, model, tell, command=this_command())
    if sys.stderr.isatty():
        click.echo(err=True)
    growth = report.rss_growth_mb_per_day
    slope = (
        f"too short for a trend: it takes {SLOPE_HOURS:g} h of sound"
        if growth is None
        else f"{growth:+.2f} MB in 24 h of sound"
    )
    figures = (
        f"{report.audio_hours:.2f} h of sound in {report.wall_s:.0f} s "
        f"({report.audio_hours * 3600 / report.wall_s:.0f} times real time), "
        f"{report.last_sample} samples\n"
        f"{report.finals} finals of {report.segments} segments, {report.lost_finals} lost; "
        f"{report.dropped_windows} partials dropped, {report.gaps} gaps, {report.faults} faults\n"
        f"drift of the sample clock: {report.drift_samples} samples\n"
        f"memory {report.rss_warm_mb:.1f} MB after a tenth, {report.rss_end_mb:.1f} MB at the end "
        f"({slope})"
    )
    if report.warning:
        figures += f"\n{report.warning}: take the speed with care"
    wrong = {
        "finals lost or told twice": report.lost_finals,
        "gaps": report.gaps,
        "samples that the clock drifted": report.drift_samples,
    }
    broken = [f"{what}: {count}" for what, count in wrong.items() if count]
    conclude(as_json(json_file, report), lambda: click.echo(figures), broken)
