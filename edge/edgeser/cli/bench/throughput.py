"""``edgeser bench throughput``: how many streams a core carries."""

from __future__ import annotations

import math
from pathlib import Path

import click

from edgeser.cli.bench.options import report_option, speech_option, this_command
from edgeser.cli.bench.outcome import as_json, conclude, printer
from edgeser.cli.options import model_option
from edgeser.errors import UserError


@click.command()
@click.option(
    "--seconds", default=10.0, show_default=True, metavar="SECONDS", help="Time for each step."
)
@click.option(
    "--limit",
    "limit_ms",
    default=250.0,
    show_default=True,
    metavar="MS",
    help="Largest p99 latency.",
)
@click.option(
    "--hop",
    "hop_s",
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between partials.",
)
@click.option(
    "--window",
    "window_s",
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="Length of partials.",
)
@model_option
@speech_option
@report_option
def throughput(
    seconds: float,
    limit_ms: float,
    hop_s: float,
    window_s: float,
    model: str | None,
    speech: Path | None,
    json_file: Path | None,
) -> None:
    """How many microphones can one core handle?

    A real daemon on one core hears continuous speech on more and more streams, in real time, until
    events come late or windows are dropped.

    \b
    Example: edgeser bench throughput --hop 1 --window 3
    """
    if not 3 <= seconds <= 3600:
        raise UserError(f"--seconds: expected 3 to 3600, got {seconds:g}")
    if not 0 < limit_ms < math.inf:
        raise UserError(f"--limit: expected milliseconds over 0, got {limit_ms:g}")

    from edgeser.bench import SPEECH_FILE
    from edgeser.bench.throughput import Step, measure

    say = printer(json_file)

    def tell(step: Step) -> None:
        stages = ", ".join(
            f"{stage} {mean:.1f}" for stage, mean in step.stage_ms.items() if stage != "total"
        )
        say(
            f"{step.streams:>7} {step.lateness_p50_ms:>8.1f} {step.lateness_p99_ms:>8.1f} "
            f"{step.dropped_partials:>8} {step.lost_finals:>6} {step.cpu_percent:>6.0f} %  {stages}"
        )
        if step.warning:
            click.echo(f"        {step.warning}", err=True)

    say("streams   p50 ms   p99 ms  dropped   lost   core    mean ms of each stage")
    report = measure(
        speech or SPEECH_FILE,
        seconds,
        limit_ms=limit_ms,
        hop_s=hop_s,
        window_s=window_s,
        model=model,
        command=this_command(),
        tell=tell,
    )
    figure = (
        f"{report.streams_per_core} streams on one core, p99 below {limit_ms:g} ms, "
        f"a {window_s:g} s window every {hop_s:g} s"
    )
    if report.warning:
        figure += f" ({report.warning}: take it with care)"
    conclude(as_json(json_file, report), lambda: click.echo(figure))
