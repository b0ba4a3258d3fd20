"""``edgeser engine``: TensorRT engines of artefacts, built and kept for the GPU that is here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.group import Group
from edgeser.cli.options import MODEL, json_option
from edgeser.errors import UserError

if TYPE_CHECKING:
    from edgeser.model.artefact import Precision
    from edgeser.model.backends.tensorrt.cache import Engine


@click.group(cls=Group)
def engine() -> None:
    """Build and manage TensorRT engines for an NVIDIA GPU (docs/tensorrt.md).

    An engine is found by the artefact's checksum, the GPU, the version of TensorRT and the
    precision; `edgeser run` uses it if it passes its golden vectors.

    Example: edgeser engine build lightweight-emodb
    """


@engine.command()
@click.argument("model", type=MODEL, metavar="NAME|FILE")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="Refuse a file with another precision.  [default: that of the file]",
)
@click.option(
    "--batch",
    default="1..16",
    show_default=True,
    metavar="1..N",
    help="Windows run at once, at most.",
)
def build(model: str, precision: Precision | None, batch: str) -> None:
    """Build the engine for an artefact on this machine, and run its golden vectors.

    It takes minutes. The precision is the file's own: build fp16 and int8 from the files that
    `edgeser export --precision` makes. Root builds into /var/cache/edgeser/engines, where the
    service looks.

    \b
    Examples: edgeser engine build lightweight-emodb
              sudo edgeser engine build my-model-fp16.onnx --precision fp16 --batch 1..4
    """
    from edgeser.model.backends.tensorrt.make import make_engine

    with _progress() as tell:
        place, difference = make_engine(model, precision, _most(batch), tell)
    click.echo(
        f"{place}: {place.stat().st_size / 1e6:.1f} MB, golden vectors within {difference:.0e}"
    )


@engine.command("list")
@json_option
def list_engines(as_json: bool) -> None:
    """List the engines, and whether they can run here.

    Example: edgeser engine list --json
    """
    import msgspec

    rows = [(path, *_described(path)) for path in _cached()]
    if as_json:
        tree = [
            {"file": str(path), "usable": not why, "why_not": why, "engine": engine}
            for path, engine, why in rows
        ]
        click.echo(msgspec.json.encode(tree).decode())
    elif not rows:
        click.echo("no engines; build one with 'edgeser engine build'")
    for path, engine, why in [] if as_json else rows:
        click.echo(path)
        if engine is not None:
            shapes = engine.shapes
            lengths = sorted({shapes.shortest, shapes.longest})
            click.echo(
                f"    {engine.model.name} {engine.model.version} {engine.precision}, batches up to "
                f"{shapes.batch}, of {' to '.join(map(str, lengths))} frames\n"
                f"    for {engine.platform}, {engine.plan_bytes / 1e6:.1f} MB, {engine.built}"
            )
        click.echo(f"    {why or 'can run here'}")


@engine.command()
@click.argument("models", nargs=-1, type=MODEL, metavar="[NAME|FILE]...")
def verify(models: tuple[str, ...]) -> None:
    """Run the golden vectors with the engines of this machine: of the named artefacts, or all.

    Exit code 1 if one deviates or cannot run.

    Example: edgeser engine verify
    """
    from edgeser.model.model import load_model

    named = list(models) or _artefacts()
    if not named:
        raise UserError("no engine for this machine", "build one with 'edgeser engine build'")
    well = True
    for name in named:
        try:
            model = load_model(name, "tensorrt")
            click.echo(
                f"ok   {name} on {model.backend.name}: golden vectors within {model.verify():.0e}"
            )
        except UserError as error:
            well = False
            click.echo(f"FAIL {error}")
    raise SystemExit(0 if well else 1)


@engine.command()
@click.argument("name", required=False, metavar="[NAME]")
def clear(name: str | None) -> None:
    """Remove all engines and timings from the cache, or the engines of one model, by the name that
    `edgeser engine list` shows.

    Example: edgeser engine clear lightweight-emodb
    """
    from edgeser.model.backends.tensorrt.cache import TIMINGS, files

    engines = [path for path in files() if name is None or name == _model_of(path)]
    if name is not None and not engines:
        raise UserError(
            f"no engine of '{name}' in the cache", "see what there is with 'edgeser engine list'"
        )
    for path in [*engines, *([] if name else files(TIMINGS))]:
        try:
            path.unlink()
        except OSError as error:
            raise UserError(f"{path}: cannot be removed: {error.strerror}", "use sudo") from error
    click.echo(f"{len(engines)} engines removed")


def _most(batch: str) -> int:
    """The largest batch of ``1..N`` or ``N``. Raises UserError."""
    found = re.fullmatch(r"(?:1\.\.)?(\d{1,4})", batch)
    if found is None or not 1 <= int(found[1]) <= 1024:
        raise UserError(f"--batch: expected 1..N with N up to 1024, got '{batch}'")
    return int(found[1])


def _cached() -> list[Path]:
    from edgeser.model.backends.tensorrt.cache import files

    return list(files())


def _described(path: Path) -> tuple[Engine | None, str]:
    """An engine's description, and why it cannot run here; empty if it can."""
    from edgeser.model.backends.tensorrt.cache import read_header
    from edgeser.model.backends.tensorrt.errors import EngineError
    from edgeser.model.backends.tensorrt.platform import this_platform

    engine: Engine | None = None
    try:
        engine = read_header(path)
        here = this_platform()
    except EngineError as error:
        return engine, str(error)
    return engine, "" if engine.platform == here else f"not for {here}"


def _model_of(path: Path) -> str:
    """The name of an engine's model; taken from the file's name if it cannot be read."""
    from edgeser.model.backends.tensorrt.cache import read_header
    from edgeser.model.backends.tensorrt.errors import EngineError

    try:
        return read_header(path).model.name
    except EngineError:
        return path.stem.rsplit("-", 2)[0]


def _artefacts() -> list[str]:
    """The artefacts of all engines for this machine. Raises UserError if no engine can run here."""
    from edgeser.model.backends.tensorrt.platform import this_platform

    this_platform()
    described = (_described(path) for path in _cached())
    return sorted({engine.artefact for engine, why in described if engine and not why})


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Shows the phases of a build as bars on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True))
    tasks: dict[str, TaskID] = {}

    def tell(phase: str, done: int, steps: int) -> None:
        if phase not in tasks:
            progress.start()
            tasks[phase] = progress.add_task(phase, total=max(1, steps))
        progress.update(tasks[phase], completed=done)

    try:
        yield tell
    finally:
        if tasks:
            progress.stop()
