"""Checkpoints: a model's weights with the recipe and the corpus that made them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import torch

from edgeser.commit import commit
from edgeser.errors import UserError
from edgeser.model.centring import Centring
from edgeser_train.corpora import Corpus
from edgeser_train.corpora.merge import strictest
from edgeser_train.corpora.releases import licence_of
from edgeser_train.data.lineage import Heard, heard_in
from edgeser_train.data.protocols import Fold
from edgeser_train.files import write_whole
from edgeser_train.models.ensemble import ensemble_of
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.training.recipe import Recipe, by_name


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a checkpoint says about itself.

    ``trained_on``: names of the utterances that its weights were trained or chosen on. ``heard``:
    their sounds and speakers; None in checkpoints from before this was recorded. ``training``:
    equal for trainings that end with the same weights; "" in older checkpoints. ``precision``: that
    of the training, "bf16" or "fp32", to which the recipe's "auto" resolved; "" in older ones.
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
    heard: Heard | None = None
    training: str = ""
    precision: str = ""


def save(path: Path, model: SpeechModel, origin: Origin) -> None:
    """Write a checkpoint atomically. Raises UserError when that fails."""
    content = {"origin": msgspec.json.encode(origin).decode(), "weights": model.state_dict()}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getbuffer())


def load(path: Path) -> tuple[SpeechModel, Origin]:
    """The model, ready for inference, and its origin. Raises UserError for any other file."""
    _check_checkpoint(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        origin = msgspec.json.decode(content["origin"], type=Origin, dec_hook=by_name)
        model = origin.recipe.network()
        model.load_state_dict(content["weights"])
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"checkpoint {path}: not a checkpoint of this version: {reason}") from error
    return model.eval(), origin


def load_together(paths: Sequence[Path]) -> tuple[SpeechModel, Origin]:
    """Checkpoints as one model, the ensemble of theirs, and the origin of the first.

    Raises UserError unless they differ in their seeds alone.
    """
    loaded = [load(path) for path in paths]
    first = loaded[0][1]
    for path, (_, origin) in zip(paths[1:], loaded[1:], strict=True):
        for what in ("labels", "recipe", "corpora", "protocol", "trained_on"):
            if getattr(origin, what) != getattr(first, what):
                raise UserError(
                    f"checkpoint {path}: differs from {paths[0]} in its {what}",
                    "combine what was trained alike, with --seed 1, 2, ...",
                )
        if origin.seed in [o.seed for _, o in loaded if o is not origin]:
            raise UserError(
                f"checkpoint {path}: another one has the same seed, {origin.seed}",
                "combine what was trained alike, with --seed 1, 2, ...",
            )
    return ensemble_of([model for model, _ in loaded]), first


def centring_of(model: SpeechModel, origin: Origin) -> Centring | None:
    """How its logits are centred by voice; None for a model that was not trained that way."""
    episodes = origin.recipe.episodes
    if episodes is None:
        return None
    prior = [float(value) for value in model.prior.detach()]
    return Centring(prior, episodes.own_frames, episodes.most_frames)


def load_origin(path: Path) -> Origin:
    """What a checkpoint says about itself, without its model. Raises UserError."""
    _check_checkpoint(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return msgspec.json.decode(content["origin"], type=Origin, dec_hook=by_name)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"checkpoint {path}: not a checkpoint of this version: {reason}") from error


def _check_checkpoint(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"checkpoint {path}: a folder", f"give {path / 'model.pt'}")
    if not path.is_file():
        raise UserError(f"checkpoint {path}: no such file", "'edgeser train' makes one")
    try:
        with path.open("rb") as file:
            saved = zipfile.is_zipfile(file)  # what torch.save writes
    except OSError as error:
        raise UserError(f"checkpoint {path}: cannot be read: {error.strerror}") from error
    if not saved:
        what = "an exported model" if path.suffix == ".onnx" else "something else"
        raise UserError(
            f"checkpoint {path}: this is {what}, not a checkpoint",
            "give the model.pt that 'edgeser train' wrote",
        )


def fingerprint_of(paths: Iterable[Path]) -> str:
    """A digest of checkpoints and run folders. Raises UserError for one that cannot be read."""
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(path.glob("*.pt")) if path.is_dir() else [path]
        for file in files:
            try:
                digest.update(file.name.encode() + file.read_bytes())
            except OSError as error:
                raise UserError(f"checkpoint {file}: cannot be read: {error}") from error
    return digest.hexdigest()[:16]


def origin_of(
    corpus: Corpus,
    recipe: Recipe,
    protocol: str,
    fold: Fold,
    seed: int,
    ancestors: Sequence[Origin] = (),
    code: str = "",
    training: str = "",
    precision: str = "",
) -> Origin:
    """The origin of a model trained today on a fold's training and validation part.

    ``ancestors``: origins of its initial weights and of its teachers; what they saw, it has seen,
    and their licences bind it. ``code``: the commit that trained it, by default that of the working
    tree. Raises UserError for a file of the corpus that cannot be read.
    """
    own = [corpus.utterances[i] for i in (*fold.train, *fold.validation)]
    trained_on = [u.name for u in own]
    corpora = list(dict.fromkeys(corpus.corpus_of(u) for u in own))
    licence = licence_of(corpus, corpora)
    for ancestor in ancestors:
        trained_on = list(dict.fromkeys([*trained_on, *ancestor.trained_on]))
        corpora = list(dict.fromkeys([*corpora, *ancestor.corpora]))
        licence = strictest([licence, ancestor.licence])
    return Origin(
        labels=list(corpus.labels),
        recipe=recipe,
        corpora=corpora,
        licence=licence,
        protocol=protocol if len(fold.test) == 0 else f"{protocol} fold {fold.name}",
        trained_on=trained_on,
        seed=seed,
        date=today(),
        commit=code or commit(),
        heard=heard_in(corpus, fold, [ancestor.heard for ancestor in ancestors]),
        training=training,
        precision=precision,
    )


def today() -> str:
    """The date in UTC, ISO 8601."""
    return datetime.now(timezone.utc).date().isoformat()
