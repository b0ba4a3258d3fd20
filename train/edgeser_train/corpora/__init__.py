"""Corpora by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgeser.errors import UserError
from edgeser_train.corpora import emodb
from edgeser_train.corpora.corpus import Corpus, Utterance

__all__ = ["LOADERS", "Corpus", "Utterance", "load_corpus"]

LOADERS: dict[str, Callable[[Path], Corpus]] = {"emodb": emodb.load}


def load_corpus(named_path: str) -> Corpus:
    """The corpus that ``NAME=PATH`` means. Raises UserError."""
    name, equals, path = named_path.partition("=")
    if not equals or not path:
        raise UserError(f"--corpus {named_path}: write NAME=PATH, e.g. emodb=/data/emodb")
    if name not in LOADERS:
        raise UserError(f"--corpus {named_path}: no corpus '{name}'; there is {', '.join(LOADERS)}")
    return LOADERS[name](Path(path).expanduser())
