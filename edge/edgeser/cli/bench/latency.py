"""``edgeser bench latency``: how late events are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.bench.options import (
    report_option,
    speech_option,
    this_command,
    written_later,
)
from edgeser.cli.bench.outcome import as_json, conclude
from edgeser.cli.options import PATH, model_option
from edgeser.errors import UserError

if TYPE_CHECKING:
    from edgeser.bench.latency import LatencyReport


@click.command()
@click.option(
    "--seconds", default=30.0, show_default=True, metavar="SECONDS", help="How long to measure."
)
@speech_option
@click.option("--continuous", is_flag=True, help="Continuous speech, without pauses.")
@click.option(
    "--transport",
    type=click.Choice(["ipc", "tcp"]),
    default="ipc",
    show_default=True,
    help="How events reach the subscriber.",
)
@model_option
@report_option
@click.option(
    "--html",
    "html_file",
    type=PATH,
    callback=written_later,
    metavar="FILE",
    help="Save a page.",
)
@click.option(
    "--compare",
    "old_file",
    type=PATH,
    metavar="FILE",
    help="Compare with a saved report.",
)
@click.option(
    "--fail-if",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="Exit with code 1 if this is true, e.g. 'p99_ms>20' (repeatable).",
)
def latency(
    seconds: float,
    speech: Path | None,
    continuous: bool,
    transport: str,
    model: str | None,
    json_file: Path | None,
    html_file: Path | None,
    old_file: Path | None,
    conditions: tuple[str, ...],
) -> None:
    """How late are my events?

    A real daemon hears speech in real time, and a subscriber in another process records when it has
    decoded each event.

    \b
    Example: edgeser bench latency --seconds 60 --json new.json --compare old.json
             --fail-if 'p99_ms>50'
    """
    if not 3 <= seconds <= 86_400:
        raise UserError(f"--seconds: expected 3 to 86400, got {seconds:g}")

    from edgeser.bench import SPEECH_FILE
    from edgeser.bench.figures import violated
    from edgeser.bench.latency import measure
    from edgeser.bench.page import page
    from edgeser.bench.show import show, show_comparison
    from edgeser.cli.console import plain_console

    old = None if old_file is None else _read(old_file)
    violated(conditions, dict.fromkeys(_names(), 0.0))  # raises for a misspelt one before the run
    report = measure(
        speech or SPEECH_FILE,
        seconds,
        transport=transport,
        continuous=continuous,
        model=model,
        command=this_command(),
    )
    reports = as_json(json_file, report)
    if html_file is not None:
        reports[html_file] = lambda: page(report, old).encode()

    def show_all() -> None:
        console = plain_console()
        show(report, console)
        if old is not None:
            show_comparison(report, old, console)

    conclude(reports, show_all, violated(conditions, report.figures))


def _names() -> list[str]:
    from edgeser.bench.figures import PERCENTILES
    from edgeser.bench.latency import SINGLES, STAGES

    stages = [f"{stage}_{name}_ms" for stage in (*STAGES, "overhead") for name in PERCENTILES]
    return [*stages, *(f"{name}_ms" for name in PERCENTILES), *SINGLES]


def _read(file: Path) -> LatencyReport:
    import msgspec

    from edgeser.bench.latency import LatencyReport
    from edgeser.regular_file import regular

    try:
        return msgspec.json.decode(regular(file).read_bytes(), type=LatencyReport)
    except OSError as error:
        raise UserError(f"--compare {file}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise UserError(
            f"--compare {file}: no report of this version of the benchmark ({error})",
            "make it anew",
        ) from error
