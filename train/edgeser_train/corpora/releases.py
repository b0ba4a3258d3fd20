"""What is known of corpora from their names alone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from edgeser_train.corpora import CORPORA, Corpus
from edgeser_train.corpora.merge import strictest


@cache
def released() -> frozenset[str]:
    """Names of the recordings whose speakers no other corpus has: all registered ones."""
    return frozenset(release.recordings for release in CORPORA.values()) - {""}


def recordings_of(corpus: str) -> str:
    """The recordings that a corpus of that name is a selection of: a merged corpus's prefix."""
    return (CORPORA[corpus].recordings if corpus in CORPORA else "") or corpus


def licence_of(corpus: Corpus, part: Iterable[str]) -> str:
    """The strictest licence of those of the merged corpora that ``part`` names.

    It is that of the whole where the registered licences do not account for it: a manifest may have
    any licence.
    """
    licences = {name: CORPORA[name].licence for name in corpus.corpora if name in CORPORA}
    if len(licences) < len(corpus.corpora) or not all(licences.values()):
        return corpus.licence
    if strictest(list(licences.values())) != corpus.licence:
        return corpus.licence
    return strictest([licences[name] for name in part])
