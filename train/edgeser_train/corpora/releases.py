"""What is known of the corpora that have a loader of their own, by name alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgeser_train.corpora import (
    Corpus,
    crema_d,
    emodb,
    fau_aibo,
    iemocap,
    kemdy19,
    ravdess,
)
from edgeser_train.corpora.merge import strictest


@dataclass(frozen=True)
class Release:
    """``recordings``: what corpora of it are selections of; they share its speakers."""

    recordings: str
    licence: str


_EMODB = Release("emodb", emodb.LICENCE)
_RAVDESS = Release("ravdess", ravdess.LICENCE)
_CREMA_D = Release("crema-d", crema_d.LICENCE)

RELEASES: dict[str, Release] = {
    "emodb": _EMODB,
    "emodb7": _EMODB,
    "emodb7-2s": _EMODB,
    "ravdess": _RAVDESS,
    "ravdess4": _RAVDESS,
    **{name: Release("iemocap", iemocap.LICENCE) for name in iemocap.SELECTIONS},
    "fau-aibo": Release("fau-aibo", fau_aibo.LICENCE),
    "kemdy19": Release("kemdy19", kemdy19.LICENCE),
    "crema-d": _CREMA_D,
    "crema-d4": _CREMA_D,
}

RELEASED = frozenset(release.recordings for release in RELEASES.values())
"""Recordings whose speakers are nobody else's."""


def recordings_of(corpus: str) -> str:
    """What a corpus of that name is a selection of: a merged one has it before every name."""
    return RELEASES[corpus].recordings if corpus in RELEASES else corpus


def licence_of(corpus: Corpus, part: Iterable[str]) -> str:
    """The strictest licence of those corpora that ``part`` names, out of which it was merged.

    It is that of the whole where the table does not explain the whole's: lists have any licence.
    """
    if not all(name in RELEASES for name in corpus.corpora):
        return corpus.licence
    licences = {name: RELEASES[name].licence for name in corpus.corpora}
    if strictest(list(licences.values())) != corpus.licence:
        return corpus.licence
    return strictest([licences[name] for name in part])
