"""``edgeser bench``: what this machine can do."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.options import model_option
from edgeser.errors import UserError

if TYPE_CHECKING:
    from edgeser.bench.latency import LatencyReport


@click.group()
def bench() -> None:
    """Measure the daemon and its models on this machine.

    Example: edgeser bench latency --seconds 60
    """


@bench.command()
@click.option("--seconds", default=30.0, show_default=True, help="How long to measure.")
@click.option(
    "--speech",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Speech to play, again and again.  [default: a synthetic voice]",
)
@click.option("--continuous", is_flag=True, help="Leave out the pauses: speech all the time.")
@click.option("--transport", type=click.Choice(["ipc", "tcp"]), default="ipc", show_default=True)
@model_option
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Save the report."
)
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path), metavar="FILE", help="Save a page."
)
@click.option(
    "--compare",
    "old_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Compare with a saved report.",
)
@click.option("--fail-if", "conditions", multiple=True, help="Exit with 1 if so, e.g. 'p99_ms>20'.")
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

    A real daemon hears speech in real time, and a subscriber in another process notes when it has
    decoded each event.

    \b
    Example: edgeser bench latency --seconds 60 --json new.json --compare old.json
             --fail-if 'p99_ms>50'
    """
    if not 3 <= seconds <= 86_400:
        raise UserError(f"--seconds: expected 3 to 86400, got {seconds:g}")

    from rich.console import Console

    from edgeser.bench import SPEECH_FILE
    from edgeser.bench.figures import violated
    from edgeser.bench.latency import measure
    from edgeser.bench.show import show, show_comparison

    old = None if old_file is None else _read(old_file)
    violated(conditions, dict.fromkeys(_names(), 0.0))  # a misspelt one is said before the run
    report = measure(
        speech or SPEECH_FILE,
        seconds,
        transport=transport,
        continuous=continuous,
        model=model,
        command=shlex.join(["edgeser", *sys.argv[1:]]),
    )
    console = Console(highlight=False)
    show(report, console)
    if old is not None:
        show_comparison(report, old, console)
    if json_file is not None:
        import msgspec

        _save(json_file, msgspec.json.format(msgspec.json.encode(report), indent=1))
    if html_file is not None:
        from edgeser.bench.page import page

        _save(html_file, page(report, old).encode())
    broken = violated(conditions, report.figures)
    for line in broken:
        click.echo(f"edgeser: {line}", err=True)
    raise SystemExit(1 if broken else 0)


@bench.command()
@click.option("--hours", default=1.0, show_default=True, help="Hours of sound, not of your time.")
@click.option(
    "--speech",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Speech to play, again and again.  [default: a synthetic voice]",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Save the report."
)
def soak(hours: float, speech: Path | None, json_file: Path | None) -> None:
    """Does anything grow, drift or get lost in the long run?

    Speech and silence go through a real daemon as fast as it takes them. Exit code 1 when a final
    or an event was lost, or the sample clock drifted.

    \b
    Example: edgeser bench soak --hours 72
    """
    if not 0 < hours <= 10_000:
        raise UserError(f"--hours: expected more than 0 and at most 10000, got {hours:g}")

    import msgspec

    from edgeser.bench import SPEECH_FILE
    from edgeser.bench.soak import measure

    def tell(done: float, rss_mb: float) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done:8.2f} of {hours:g} h, {rss_mb:.1f} MB ", nl=False, err=True)

    report = measure(speech or SPEECH_FILE, hours, tell)
    if sys.stderr.isatty():
        click.echo(err=True)
    click.echo(
        f"{report.audio_hours:.2f} h of sound in {report.wall_s:.0f} s "
        f"({report.audio_hours * 3600 / report.wall_s:.0f} times real time), "
        f"{report.last_sample} samples\n"
        f"{report.finals} finals of {report.segments} segments, {report.lost_finals} lost; "
        f"{report.dropped_windows} partials dropped, {report.gaps} gaps, {report.faults} faults\n"
        f"drift of the sample clock: {report.drift_samples} samples\n"
        f"memory {report.rss_warm_mb:.1f} MB after a tenth, {report.rss_end_mb:.1f} MB at the end "
        f"({report.rss_growth_mb_per_day:+.2f} MB in 24 h of sound)"
    )
    if json_file is not None:
        _save(json_file, msgspec.json.format(msgspec.json.encode(report), indent=1))
    raise SystemExit(1 if report.lost_finals or report.gaps or report.drift_samples else 0)


def _names() -> list[str]:
    from edgeser.bench.figures import PERCENTILES
    from edgeser.bench.latency import SINGLES, STAGES

    stages = [f"{stage}_{name}_ms" for stage in (*STAGES, "overhead") for name in PERCENTILES]
    return [*stages, *(f"{name}_ms" for name in PERCENTILES), *SINGLES]


def _read(file: Path) -> LatencyReport:
    import msgspec

    from edgeser.bench.latency import LatencyReport

    try:
        return msgspec.json.decode(file.read_bytes(), type=LatencyReport)
    except OSError as error:
        raise UserError(f"--compare {file}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise UserError(
            f"--compare {file}: no report of this version of the benchmark ({error}); make it anew"
        ) from error


def _save(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from error
