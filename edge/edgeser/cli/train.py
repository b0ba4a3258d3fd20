"""``edgeser train``: a corpus in, a checkpoint out."""

from __future__ import annotations

from pathlib import Path

import click

from edgeser.cli.extras import (
    cache_option,
    corpus_option,
    fold_named,
    need_extra,
    recipe_option,
    seed_option,
    trainable_option,
)


@click.command()
@trainable_option
@corpus_option
@click.option(
    "--protocol", default="full", show_default=True, help="full, loso or loso_val: what trains."
)
@click.option("--fold", metavar="NAME", help="The fold of a protocol that has several.")
@recipe_option
@seed_option
@cache_option
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of model.pt."
)
def train(
    model: str,
    corpus: str,
    protocol: str,
    fold: str | None,
    settings: tuple[str, ...],
    seed: int,
    cache: Path,
    output: Path,
) -> None:
    """Train a model and write OUTPUT/model.pt.

    It trains on the CPU, or on a GPU where there is one, for the number of epochs of its recipe.
    Nothing is scored: that is what `edgeser evaluate` is for.

    \b
    Examples: edgeser train --model lightweight --corpus emodb=/data/emodb -o runs/emodb
              edgeser train --corpus emodb=/data/emodb --set epochs=80 -o runs/longer
    """
    need_extra("train")
    from edgeser_train import checkpoint
    from edgeser_train.corpora import load_corpus
    from edgeser_train.frames import corpus_frames
    from edgeser_train.protocols import folds_of
    from edgeser_train.recipe import Recipe, changed
    from edgeser_train.training import train as train_model

    recipe = changed(Recipe(), settings)
    data = load_corpus(corpus)
    chosen = fold_named(fold, folds_of(protocol, data), protocol)
    click.echo(f"{len(chosen.train)} utterances, {recipe.epochs} epochs", err=True)
    frames = corpus_frames(data, recipe, cache)
    trained = train_model(data, frames, chosen.train, recipe, seed=seed, progress=True)
    name = protocol if fold is None else f"{protocol} fold {chosen.name}"
    origin = checkpoint.origin_of(data, recipe, name, seed)
    checkpoint.save(output / "model.pt", trained.model, origin)
    click.echo(f"{output / 'model.pt'}: training loss {trained.losses[-1]:.3f}")
