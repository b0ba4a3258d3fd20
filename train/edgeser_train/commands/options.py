"""Options of the commands that need an extra, and what they say when it is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.errors import OUT_OF_MEMORY, UserError, shortage

if TYPE_CHECKING:
    from edgeser_train.data.protocols import Fold

_NEEDED = {
    "train": ("torch", "lightning", "matplotlib"),
    "export": ("torch", "onnx"),
}

MODELS = ("lightweight", "eca-cnn", "attention-pooling", "pcnse-sadrn-ctc", "wavlm-sap")

trainable_option = click.option(
    "--model",
    type=click.Choice(MODELS),
    default="lightweight",
    show_default=True,
    help="The architecture.",
)
named_recipe_option = click.option(
    "--recipe",
    "recipe_name",
    default="edgeser",
    show_default=True,
    help="edgeser: how we train it; paper: how its paper did.",
)
corpus_option = click.option(
    "--corpus",
    "corpora",
    required=True,
    multiple=True,
    metavar="NAME=PATH",
    help="The corpus, e.g. emodb=/data/emodb; several are merged.",
)
teacher_option = click.option(
    "--teacher",
    "teachers",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="CKPT|RUN",
    help="Learn from this model, too; a folder holds one per fold. Several are averaged.",
)
initialise_option = click.option(
    "--initialise",
    type=click.Path(path_type=Path),
    metavar="CKPT|RUN",
    help="Start from this model's weights: all where the architecture is the same, else the trunk "
    "(pcnse-sadrn-ctc); a folder holds one per fold.",
)
data_seed_option = click.option(
    "--data-seed",
    default=1,
    show_default=True,
    type=click.IntRange(min=0),
    help="Of chance in splits, in the order of examples and in augmentation.",
)
recipe_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Change the recipe, e.g. epochs=60 or model.blocks=5; can be repeated.",
)
seed_option = click.option(
    "--seed", default=1, show_default=True, type=click.IntRange(min=0), help="Of weights and data."
)
cache_option = click.option(
    "--cache",
    default=Path("runs/cache"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder where the frames of the corpus are kept.",
)


def need_extra(extra: str) -> None:
    """Raises UserError that says what to install when the extra's libraries are missing."""
    missing = [name for name in _NEEDED[extra] if find_spec(name) is None]
    if missing:
        raise UserError(
            f"this command needs {', '.join(missing)}: install with pip install 'edgeser[{extra}]'"
        )


def fold_named(name: str | None, folds: Sequence[Fold], protocol: str) -> Fold:
    """The fold of that name, or the only one. Raises UserError."""
    if name is None and len(folds) == 1:
        return folds[0]
    for fold in folds:
        if fold.name == name:
            return fold
    names = ", ".join(fold.name for fold in folds)
    if name is None:
        raise UserError(f"protocol '{protocol}': choose one of its folds with --fold: {names}")
    raise UserError(f"fold '{name}': protocol '{protocol}' has {names}")


@contextmanager
def failures_told() -> Iterator[None]:
    """Of a command that trains: raises UserError for what the machine lacks; Ctrl-C is a line."""
    try:
        yield
    except UserError:
        raise
    except KeyboardInterrupt:
        click.echo("edgeser: stopped; the same command goes on where it was", err=True)
        raise SystemExit(130) from None
    except Exception as error:
        lacking = shortage(error)
        if lacking is None:
            raise
        mend = "lower --jobs or the batch" if lacking.startswith(OUT_OF_MEMORY) else "mend that"
        raise UserError(lacking, f"{mend}, and the same command goes on") from error
