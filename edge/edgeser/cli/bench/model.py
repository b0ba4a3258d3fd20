"""``edgeser bench model``: which model fits, and how."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from edgeser.cli.bench.options import report_option, this_command
from edgeser.cli.bench.outcome import as_json, conclude, printer
from edgeser.cli.options import MODEL
from edgeser.errors import UserError
from edgeser.settings.schema import BackendName


@click.command()
@click.option(
    "--model",
    "names",
    multiple=True,
    type=MODEL,
    metavar="NAME|FILE",
    help="Only this model (repeatable).  [default: all that are shipped]",
)
@click.option(
    "--backend",
    type=click.Choice(get_args(BackendName)),
    default="auto",
    show_default=True,
    help="What runs them.",
)
@click.option(
    "--threads", default="1", show_default=True, metavar="N,...", help="Threads of the backend."
)
@click.option(
    "--batch",
    "batches",
    default="1,8",
    show_default=True,
    metavar="N,...",
    help="Windows at a time.",
)
@click.option(
    "--window",
    "windows",
    default="1,3,7",
    show_default=True,
    metavar="SECONDS,...",
    help="Lengths of windows.",
)
@click.option(
    "--seconds", default=2.0, show_default=True, metavar="SECONDS", help="Time for each case."
)
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
    """How fast is each model?

    Times every model with every number of threads, batch size and window length, and shows its
    millions of multiply-adds (madd) per second of sound, and its speed relative to NumPy's matrix
    product on one thread, the best of the runs in between.

    \b
    Example: edgeser bench model --threads 1,2 --batch 1,8 --window 3
    """
    if not 0.1 <= seconds <= 600:
        raise UserError(f"--seconds: expected 0.1 to 600, got {seconds:g}")
    counts, sizes = _numbers("--threads", threads, 64), _numbers("--batch", batches, 256)
    lengths = _numbers("--window", windows, 60)

    from edgeser.bench.model import Case, ModelReport, measure
    from edgeser.model.artefact import shipped_models
    from edgeser.model.model import Model, load_model

    def load(count: int) -> list[Model]:
        return [load_model(name, backend, threads=count) for name in names or shipped_models()]

    say = printer(json_file)

    def head() -> None:
        say(
            f"{'model':<24} {'threads':>7} {'batch':>5} {'window':>8} {'p50 ms':>8} {'p99 ms':>8} "
            f"{'ms / audio s':>12} {'M madd / audio s':>16} GFLOP/s, NumPy's product"
        )

    def tell(case: Case) -> None:
        speed = "-" if case.gflops is None else f"{case.gflops:.0f}"
        work = case.multiply_adds_per_audio_s
        millions = "-" if work is None else f"{work / 1e6:.1f}"
        say(
            f"{case.model.name:<24} {case.threads:>7} {case.batch:>5} {case.window_s:>6g} s "
            f"{case.p50_ms:>8.2f} {case.p99_ms:>8.2f} {case.ms_per_audio_s:>12.2f} "
            f"{millions:>16} {speed:>7}, {case.product_gflops:.0f}"
        )

    report: ModelReport = measure(
        load,
        threads=[int(count) for count in counts],
        batches=[int(size) for size in sizes],
        windows_s=lengths,
        seconds=seconds,
        command=this_command(),
        begin=head,
        tell=tell,
    )

    def show() -> None:
        for name, too_long in report.left_out.items():
            listed = ", ".join(f"{length_s:g}" for length_s in too_long)
            click.echo(f"{name} takes no window of {listed} s: left out")
        if report.warning:
            click.echo(f"{report.warning}: treat these figures with caution")

    conclude(as_json(json_file, report), show)


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
