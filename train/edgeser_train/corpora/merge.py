"""Several corpora as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgeser.errors import UserError
from edgeser_train.corpora.corpus import LICENCES, Corpus, Utterance


def merged(corpora: Sequence[Corpus]) -> Corpus:
    """One corpus of all utterances in the order given; a single one stays as it is.

    Its name is theirs joined by ``+``, its licence the strictest of theirs. Names, speakers,
    sessions and groups are prefixed with the recordings' name, e.g. "ravdess:07". Raises UserError
    unless all have the same labels, for two selections of the same recordings, and for two
    manifests of one name.
    """
    if not corpora:
        raise UserError("no corpus given", "give at least one with --corpus NAME=PATH")
    first = corpora[0]
    if len(corpora) == 1:
        return first
    owner: dict[str, Corpus] = {}
    for corpus in corpora:
        if set(corpus.labels) != set(first.labels):
            raise UserError(
                f"corpora {first.name} and {corpus.name} have different labels: "
                f"{', '.join(first.labels)} and {', '.join(corpus.labels)}",
                "use selections with the same labels, e.g. emodb with ravdess4, "
                "or choose classes with --labels angry,sad",
            )
        if corpus.source in owner:
            raise _clash(owner[corpus.source], corpus)
        owner[corpus.source] = corpus
    return Corpus(
        "+".join(corpus.name for corpus in corpora),
        strictest([corpus.licence for corpus in corpora]),
        first.labels,
        tuple(_prefixed(u, corpus) for corpus in corpora for u in corpus.utterances),
    )


def strictest(licences: Sequence[str]) -> str:
    """The strictest licence; those that the table does not rank are all kept: "A AND B"."""
    unranked = dict.fromkeys(licence for licence in licences if licence not in LICENCES)
    return " AND ".join(unranked) or max(licences, key=LICENCES.index)


def _clash(one: Corpus, other: Corpus) -> UserError:
    if one.recordings and other.recordings:
        return UserError(
            f"corpora {one.name} and {other.name} are of the same recordings",
            "give one of them",
        )
    return UserError(
        f"two corpora are both named {other.source}",
        "a manifest is named after its file: rename one",
    )


def _prefixed(u: Utterance, corpus: Corpus) -> Utterance:
    source = corpus.source
    return replace(
        u,
        name=f"{source}:{u.name}",
        speaker=f"{source}:{u.speaker}",
        session=u.session and f"{source}:{u.session}",
        group=u.group and f"{source}:{u.group}",
        corpus=corpus.name,
    )
