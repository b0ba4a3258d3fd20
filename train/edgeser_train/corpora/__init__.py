"""Corpora by name. Each has a module that reads it, and a line here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeser.errors import UserError
from edgeser_train.corpora.corpus import LABELS, Corpus, Release, Utterance, check_corpus
from edgeser_train.corpora.merge import merged
from edgeser_train.corpora.selection import labels_of, selections
from edgeser_train.registry import Registry

__all__ = [
    "CORPORA",
    "LABELS",
    "Corpus",
    "Release",
    "Utterance",
    "load_corpora",
    "load_corpus",
    "merged",
]

_HERE = "edgeser_train.corpora"

CORPORA: Registry[Release] = Registry(
    "corpus",
    "edgeser.corpora",
    {
        "emodb": f"{_HERE}.emodb:FOUR_CLASSES",
        "emodb7": f"{_HERE}.emodb:SEVEN_CLASSES",
        "emodb7-2s": f"{_HERE}.emodb:SEVEN_CLASSES_2S",
        "ravdess": f"{_HERE}.ravdess:EIGHT_CLASSES",
        "ravdess4": f"{_HERE}.ravdess:FOUR_CLASSES",
        "iemocap4": f"{_HERE}.iemocap:IMPROVISED",
        "iemocap4-improvised-exc": f"{_HERE}.iemocap:IMPROVISED_EXCITED",
        "iemocap4-all": f"{_HERE}.iemocap:ALL_EXCITED",
        "fau-aibo": f"{_HERE}.fau_aibo:RELEASE",
        "kemdy19": f"{_HERE}.kemdy19:RELEASE",
        "crema-d": f"{_HERE}.crema_d:SIX_CLASSES",
        "crema-d4": f"{_HERE}.crema_d:FOUR_CLASSES",
        "mesd": f"{_HERE}.mesd:SIX_CLASSES",
        "savee": f"{_HERE}.savee:SEVEN_CLASSES",
        "ased": f"{_HERE}.ased:FIVE_CLASSES",
        "turev": f"{_HERE}.turev:FOUR_CLASSES",
        "manifest": f"{_HERE}.manifest:RELEASE",
    },
    Release,
)


def load_corpora(named_paths: Sequence[str], labels: str | None = None) -> Corpus:
    """The corpus that one ``NAME=PATH`` means, or several of them merged.

    ``labels``: the classes to distinguish, in the syntax of ``classes_of``; by default all that the
    corpora have. Raises UserError, also for a class of which none of them has an utterance.
    """
    corpora = [load_corpus(named_path) for named_path in named_paths]
    if labels is None:
        return merged(corpora)
    corpus = merged(selections(corpora, labels))
    absent = set(corpus.labels) - {u.label for u in corpus.utterances}
    if absent:
        raise UserError(
            f"--labels {labels}: no utterance of {corpus.name} is {' or '.join(sorted(absent))}",
            f"there is {', '.join(labels_of(corpora))}",
        )
    return corpus


def load_corpus(named_path: str) -> Corpus:
    """The corpus that ``NAME=PATH`` means. Raises UserError."""
    name, equals, path = named_path.partition("=")
    if not equals or not path:
        raise UserError(f"--corpus {named_path}", "write NAME=PATH, e.g. emodb=/data/emodb")
    corpus = CORPORA.named(name, f"--corpus {named_path}").load(Path(path).expanduser())
    check_corpus(corpus, name)
    return corpus
