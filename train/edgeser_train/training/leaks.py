"""Whether a model that a training builds on has heard what its fold holds out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus
from edgeser_train.data.lineage import Heard, sound_digest, speaker_of, speakers_of
from edgeser_train.data.protocols import Fold
from edgeser_train.training.checkpoint import Origin, load_origin


def leak_free(path: Path, corpus: Corpus, fold: Fold, what: str) -> Path:
    """The checkpoint at ``path`` (in a run folder, the fold's), checked to have heard nothing that
    the fold holds out: no held-out utterance and, if the fold's test and validation speakers do not
    train it, none of these. Validation data may have validated the checkpoint, too.

    Raises UserError otherwise; ``what`` names the checkpoint in it.
    """
    file = file_of(path, fold)
    origin = load_origin(file)
    heard = origin.heard or Heard([], [])
    held_out = (
        *fold.test,
        *(
            i
            for i in fold.validation
            if sound_digest(corpus.utterances[i]) not in heard.validating_sounds
        ),
    )
    seen = _seen(origin, corpus, held_out)
    if seen:
        raise UserError(
            f"{what}: has seen {len(seen)} utterances that fold {fold.name} holds out, "
            f"e.g. {min(seen)}",
            "take a checkpoint of the same fold",
        )
    new = speakers_of(corpus, fold.test)
    met = new & set(heard.speakers)
    validating = speakers_of(corpus, fold.validation)
    met |= validating & (set(heard.speakers) - set(heard.validating_speakers))
    if met and not (new | validating) & speakers_of(corpus, fold.train):
        raise UserError(
            f"{what}: has heard speaker {min(met)}, whom fold {fold.name} holds out",
            "take a checkpoint of the same fold",
        )
    return file


def _seen(origin: Origin, corpus: Corpus, held_out: Sequence[int]) -> set[str]:
    """Names of the held-out utterances that the checkpoint has heard.

    They are recognised by their sound, or by their name and speaker; by their name alone where the
    checkpoint does not know what all its ancestors have heard.
    """
    held = [corpus.utterances[i] for i in held_out]
    known = {_own(name) for name in origin.trained_on}
    seen: set[str] = set()
    if heard := origin.heard:
        sounds, speakers = set(heard.sounds), set(heard.speakers)
        seen = {
            u.name
            for u in held
            if sound_digest(u) in sounds
            or (_own(u.name) in known and speaker_of(corpus, u) in speakers)
        }
    if heard is None or not heard.known:
        seen |= {u.name for u in held} & set(origin.trained_on)
        if not seen and list(corpus.corpora) != origin.corpora:
            # In a merged corpus the recordings' name is prefixed to an utterance's own.
            seen = {u.name for u in held if _own(u.name) in known}
    return seen


def file_of(path: Path, fold: Fold) -> Path:
    """A checkpoint itself, or the fold's in a run folder. Raises UserError where it has none."""
    if not path.is_dir():
        return path
    file = path / f"{fold.name}.pt"
    if not file.is_file():
        raise UserError(
            f"run {path}: no checkpoint {file.name} of fold {fold.name}",
            "give a run with the same folds and one seed, or a checkpoint",
        )
    return file


def _own(name: str) -> str:
    return name.rpartition(":")[2]
