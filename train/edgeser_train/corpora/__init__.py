"""Corpora by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from edgeser.errors import UserError
from edgeser_train.corpora import crema_d, emodb, fau_aibo, iemocap, kemdy19, manifest, ravdess
from edgeser_train.corpora.corpus import LABELS, Corpus, Utterance
from edgeser_train.corpora.merge import merged

__all__ = [
    "LABELS",
    "LOADERS",
    "Corpus",
    "Utterance",
    "load_corpora",
    "load_corpus",
    "merged",
]

LOADERS: dict[str, Callable[[Path], Corpus]] = {
    "emodb": emodb.load,
    "emodb7": emodb.load_7,
    "emodb7-2s": emodb.load_7_2s,
    "ravdess": ravdess.load,
    "ravdess4": ravdess.load_4,
    **{
        name: partial(iemocap.load, name, selection=selection)
        for name, selection in iemocap.SELECTIONS.items()
    },
    "fau-aibo": fau_aibo.load,
    "kemdy19": kemdy19.load,
    "crema-d": crema_d.load,
    "crema-d4": crema_d.load_4,
    "manifest": manifest.load,
}


def load_corpora(named_paths: Sequence[str]) -> Corpus:
    """The corpus that one ``NAME=PATH`` means, or several of them merged. Raises UserError."""
    return merged([load_corpus(named_path) for named_path in named_paths])


def load_corpus(named_path: str) -> Corpus:
    """The corpus that ``NAME=PATH`` means. Raises UserError."""
    name, equals, path = named_path.partition("=")
    if not equals or not path:
        raise UserError(f"--corpus {named_path}: write NAME=PATH, e.g. emodb=/data/emodb")
    if name not in LOADERS:
        raise UserError(
            f"--corpus {named_path}: no corpus '{name}'", f"there is {', '.join(LOADERS)}"
        )
    return LOADERS[name](Path(path).expanduser())
