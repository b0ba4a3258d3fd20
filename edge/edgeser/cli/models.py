"""``edgeser models``: the artefacts there are, and what one says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgeser.cli.options import json_option

if TYPE_CHECKING:
    from edgeser.model.artefact import Estimate
    from edgeser.model.model import Model


@click.command()
@click.argument("name", required=False, metavar="[NAME|FILE]")
@json_option
def models(name: str | None, as_json: bool) -> None:
    """List the shipped models, or describe one after checking its golden vectors.

    \b
    Examples: edgeser models
              edgeser models lightweight-emodb
    """
    import msgspec

    from edgeser.model.artefact import shipped_models
    from edgeser.model.model import load_model

    loaded = [load_model(model) for model in ([name] if name else shipped_models())]
    if as_json:
        described = [{"sha256": m.ref.sha256, **msgspec.to_builtins(m.info)} for m in loaded]
        click.echo(msgspec.json.encode(described[0] if name else described).decode())
    elif name:
        _describe(loaded[0])
    else:
        _list(loaded)


def _list(loaded: list[Model]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("name")
    table.add_column("version")
    table.add_column("labels")
    table.add_column("UA %", justify="right")
    table.add_column("licence of the data")
    for model in loaded:
        info = model.info
        table.add_row(
            info.name,
            info.version,
            ", ".join(info.labels),
            f"{info.training.ua.value * 100:.1f}",
            info.training.licence,
        )
    Console(highlight=False).print(table)


def _describe(model: Model) -> None:
    info, training, window = model.info, model.info.training, model.info.window

    def percent(estimate: Estimate) -> str:
        low, high = estimate.low * 100, estimate.high * 100
        return f"{estimate.value * 100:.1f} ({low:.1f} to {high:.1f})"

    rows = {
        "model": f"{info.name} {info.version}",
        "file": str(model.artefact.path),
        "size": f"{model.artefact.size / 1e6:.1f} MB",
        "sha256": model.ref.sha256,
        "labels": ", ".join(info.labels),
        "trained on": f"{', '.join(training.corpora)} ({training.licence}), {training.date}",
        "protocol": training.protocol,
        "UA %": percent(training.ua),
        "WA %": percent(training.wa),
        "F1 %": percent(training.f1),
        "ECE %": f"{training.ece * 100:.1f}",
        "windows": f"{window.min_seconds:g} to {window.seconds:g} s, "
        f"whole segments to {window.max_seconds:g} s",
        "unknown below": f"{info.abstain_below:.2f}",
        "golden vectors": f"{len(info.golden)} right",
    }
    width = max(map(len, rows))
    for key, value in rows.items():
        click.echo(f"{key:<{width}}  {value}")
