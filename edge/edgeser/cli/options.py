"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import click
from click.shell_completion import CompletionItem

Command = TypeVar("Command", bound=Callable[..., object])

PATH = click.Path(path_type=Path, readable=False)
"""A path as it was given, unchecked: the code that opens it reports errors in one line."""


PATH_TEXT = click.Path(readable=False)
"""The same as a text."""


class _Model(click.Path):
    """A model's name, or a file; only completion tells them apart."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from edgeser.model.artefact import shipped_models

        names = [name for name in shipped_models() if name.startswith(incomplete)]
        files = super().shell_complete(ctx, param, incomplete)
        return [*files, *map(CompletionItem, names)]


MODEL = _Model(readable=False)


class Number(click.FloatRange):
    """A finite number within a range; click's own accepts ``nan``, and ``inf`` in open ranges."""

    name = "number"

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


def settings_option(command: Command) -> Command:
    """``--settings FILE``."""
    return click.option(
        "--settings",
        "settings_file",
        type=PATH,
        metavar="FILE",
        help="Settings file (TOML); options override it. 'edgeser settings show' prints the "
        "defaults.",
    )(command)


def model_option(command: Command) -> Command:
    """``--model NAME|FILE``."""
    return click.option(
        "--model",
        metavar="NAME|FILE",
        type=MODEL,
        help="A shipped model's name, or an artefact file.  [default: that of the settings]",
    )(command)


def backend_option(command: Command) -> Command:
    """``--backend NAME``."""
    return click.option(
        "--backend",
        metavar="auto|onnxruntime|tensorrt",
        help="The backend that runs the model.  [default: that of the settings]",
    )(command)


def json_option(command: Command) -> Command:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def given_in(table: str, flags: Mapping[str, object]) -> dict[str, object]:
    """The flags that were given, of a command whose options are called as a table's settings."""
    return given(**{f"{table}__{name}": value for name, value in flags.items()})


def given(**flags: object) -> dict[str, object]:
    """The flags that were given, as setting paths: ``model__name`` means ``model.name``."""
    return {
        name.replace("__", "."): value
        for name, value in flags.items()
        if value is not None and value != ()
    }
