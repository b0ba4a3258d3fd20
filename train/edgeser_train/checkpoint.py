"""Checkpoints: a model's weights with the recipe and the corpus that made them."""

from __future__ import annotations

import io
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import torch

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus
from edgeser_train.files import write_whole
from edgeser_train.models import SpeechModel, build
from edgeser_train.protocols import Fold
from edgeser_train.recipe import Recipe


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a checkpoint says about itself.

    ``trained_on``: names of the utterances that its weights, or their choice, have seen.
    """

    labels: list[str]
    recipe: Recipe
    corpora: list[str]
    licence: str
    protocol: str
    trained_on: list[str]
    seed: int
    date: str
    commit: str


def save(path: Path, model: SpeechModel, origin: Origin) -> None:
    """Write a checkpoint aside and rename it. Raises UserError when that fails."""
    content = {"origin": msgspec.json.encode(origin).decode(), "weights": model.state_dict()}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def load(path: Path) -> tuple[SpeechModel, Origin]:
    """The model, ready for inference, and its origin. Raises UserError for any other file."""
    if not path.is_file():
        raise UserError(f"checkpoint {path}: no such file; 'edgeser train' makes one")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        origin = msgspec.json.decode(content["origin"], type=Origin)
        model = build(origin.recipe.model)
        model.load_state_dict(content["weights"])
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"checkpoint {path}: not one of this version: {reason}") from error
    return model.eval(), origin


def origin_of(corpus: Corpus, recipe: Recipe, protocol: str, fold: Fold, seed: int) -> Origin:
    """Of a model trained now, with this code, on a fold's training and validation part."""
    return Origin(
        labels=list(corpus.labels),
        recipe=recipe,
        corpora=list(corpus.corpora),
        licence=corpus.licence,
        protocol=protocol if len(fold.test) == 0 else f"{protocol} fold {fold.name}",
        trained_on=[corpus.utterances[i].name for i in (*fold.train, *fold.validation)],
        seed=seed,
        date=today(),
        commit=commit(),
    )


def today() -> str:
    """The date in UTC, ISO 8601."""
    return datetime.now(timezone.utc).date().isoformat()


def commit() -> str:
    """The commit of the working tree, with a '+' when it has changes; 'unknown' outside git."""
    here = Path(__file__).parent
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run.stdout.strip()
