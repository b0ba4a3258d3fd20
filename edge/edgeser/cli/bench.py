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
    from edgeser.settings.schema import BackendName

FilePath = click.Path(path_type=Path)
speech_option = click.option(
    "--speech",
    type=FilePath,
    metavar="FILE",
    help="Speech to play, again and again.  [default: a synthetic voice]",
)
report_option = click.option(
    "--json", "json_file", type=FilePath, metavar="FILE", help="Save the report."
)


@click.group()
def bench() -> None:
    """Measure the daemon and its models on this machine.

    The daemon has its default settings but for what the options say; EDGESER_* variables do not
    reach it.

    Example: edgeser bench latency --seconds 60
    """


@bench.command()
@click.option("--seconds", default=30.0, show_default=True, help="How long to measure.")
@speech_option
@click.option("--continuous", is_flag=True, help="Leave out the pauses: speech all the time.")
@click.option("--transport", type=click.Choice(["ipc", "tcp"]), default="ipc", show_default=True)
@model_option
@report_option
@click.option("--html", "html_file", type=FilePath, metavar="FILE", help="Save a page.")
@click.option(
    "--compare",
    "old_file",
    type=FilePath,
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
@speech_option
@report_option
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


@bench.command()
@click.option("--model", "names", multiple=True, metavar="NAME|FILE", help="Only these models.")
@click.option(
    "--backend",
    type=click.Choice(["auto", "onnxruntime", "tensorrt"]),
    default="auto",
    show_default=True,
    help="What runs them.",
)
@click.option("--threads", default="1", show_default=True, metavar="N,...")
@click.option("--batch", "batches", default="1,8", show_default=True, metavar="N,...")
@click.option("--window", "windows", default="1,3,7", show_default=True, metavar="SECONDS,...")
@click.option("--seconds", default=2.0, show_default=True, help="Time for each case.")
@report_option
def model(
    names: tuple[str, ...],
    backend: BackendName,
    threads: str,
    batches: str,
    windows: str,
    seconds: float,
    json_file: Path | None,
) -> None:
    """Which model fits, and how?

    Every model with every number of threads, batch and window length, beside the peak of this
    machine's matrix product measured in between.

    \b
    Example: edgeser bench model --threads 1,2 --batch 1,8 --window 3
    """
    if not 0.1 <= seconds <= 600:
        raise UserError(f"--seconds: expected 0.1 to 600, got {seconds:g}")
    counts, sizes = _numbers("--threads", threads, 64), _numbers("--batch", batches, 256)
    lengths = _numbers("--window", windows, 60)

    import msgspec

    from edgeser.bench.model import Case, ModelReport, measure
    from edgeser.model.artefact import shipped_models
    from edgeser.model.model import Model, load_model

    def load(count: int) -> list[Model]:
        return [load_model(name, backend, threads=count) for name in names or shipped_models()]

    def tell(case: Case) -> None:
        speed = "-" if case.gflops is None else f"{case.gflops:.0f}"
        click.echo(
            f"{case.model.name:<24} {case.threads:>7} {case.batch:>5} {case.window_s:>6g} s "
            f"{case.p50_ms:>8.2f} {case.p99_ms:>8.2f} {case.ms_per_audio_s:>12.2f} "
            f"{speed:>8} of {case.peak_gflops:.0f}"
        )

    click.echo(
        f"{'model':<24} {'threads':>7} {'batch':>5} {'window':>8} {'p50 ms':>8} {'p99 ms':>8} "
        f"{'ms / audio s':>12} GFLOP/s of the peak"
    )
    report: ModelReport = measure(
        load,
        threads=[int(count) for count in counts],
        batches=[int(size) for size in sizes],
        windows_s=lengths,
        seconds=seconds,
        tell=tell,
    )
    if report.warning:
        click.echo(f"{report.warning}: take these figures with care")
    if json_file is not None:
        _save(json_file, msgspec.json.format(msgspec.json.encode(report), indent=1))


@bench.command()
@click.option("--seconds", default=10.0, show_default=True, help="Time for each step.")
@click.option("--limit", "limit_ms", default=250.0, show_default=True, help="Latest p99, ms.")
@click.option("--hop", "hop_s", default=1.0, show_default=True, help="Seconds between partials.")
@click.option("--window", "window_s", default=3.0, show_default=True, help="Their length, s.")
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
    """How many microphones does one core carry?

    A real daemon on one core hears unbroken speech on more and more streams, in real time, until
    events come late or windows are dropped.

    \b
    Example: edgeser bench throughput --hop 1 --window 3
    """
    if not 3 <= seconds <= 3600:
        raise UserError(f"--seconds: expected 3 to 3600, got {seconds:g}")
    if limit_ms <= 0:
        raise UserError(f"--limit: expected more than 0, got {limit_ms:g}")

    import msgspec

    from edgeser.bench import SPEECH_FILE
    from edgeser.bench.throughput import Step, measure

    def tell(step: Step) -> None:
        stages = ", ".join(
            f"{stage} {mean:.1f}" for stage, mean in step.stage_ms.items() if stage != "total"
        )
        click.echo(
            f"{step.streams:>7} {step.lateness_p50_ms:>8.1f} {step.lateness_p99_ms:>8.1f} "
            f"{step.dropped_partials:>8} {step.lost_finals:>6} {step.cpu_percent:>6.0f} %  {stages}"
        )
        if step.warning:
            click.echo(f"        {step.warning}", err=True)

    click.echo("streams   p50 ms   p99 ms  dropped   lost   core    mean ms of each stage")
    report = measure(
        speech or SPEECH_FILE,
        seconds,
        limit_ms=limit_ms,
        hop_s=hop_s,
        window_s=window_s,
        model=model,
        tell=tell,
    )
    click.echo(
        f"{report.streams_per_core} streams on one core, p99 below {limit_ms:g} ms, "
        f"a {window_s:g} s window every {hop_s:g} s"
    )
    if json_file is not None:
        _save(json_file, msgspec.json.format(msgspec.json.encode(report), indent=1))


def _numbers(option: str, text: str, most: float) -> list[float]:
    """A list such as ``1,8``. Raises UserError."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < number <= most for number in found):
        raise UserError(f"{option}: expected numbers over 0 and up to {most:g}, got '{text}'")
    if option != "--window" and any(number != int(number) for number in found):
        raise UserError(f"{option}: expected whole numbers, got '{text}'")
    return found


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
            f"--compare {file}: no report of this version of the benchmark ({error})",
            "make it anew",
        ) from error


def _save(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from error
