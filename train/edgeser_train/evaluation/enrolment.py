"""What a voice is enrolled with: which other utterances of the same speaker are known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec
import numpy as np

from edgeser_train.corpora import Corpus

Kind: TypeAlias = Literal["any", "mostly neutral", "neutral", "one emotion", "earlier"]

NEUTRAL_SHARE = 0.7
"""Of "mostly neutral"; the others are of any emotion."""


class Enrolment(msgspec.Struct, frozen=True):
    """What is known of a voice: ``utterances`` others of it, of a ``kind``; 0 for nothing.

    ``earlier``: all that came before, in an order drawn by chance, whatever the number.
    """

    utterances: int
    kind: Kind = "any"

    @property
    def name(self) -> str:
        if self.kind == "earlier":
            return "all earlier, of any emotion"
        if not self.utterances:
            return "nothing"
        of = {"any": "of any emotion", "one emotion": "of one emotion"}.get(self.kind, self.kind)
        return f"{self.utterances}, {of}"


NOTHING, EARLIER = Enrolment(0), Enrolment(0, "earlier")
ENROLMENTS = (
    NOTHING,
    *(Enrolment(n, kind) for kind in ("any", "mostly neutral", "neutral") for n in (1, 3, 10)),
    *(Enrolment(n, "one emotion") for n in (3, 10)),
    EARLIER,
)


def enrolled_for(corpus: Corpus, enrolment: Enrolment, order: int) -> Iterator[list[int]]:
    """For every utterance those that its voice is enrolled with, drawn by chance, the same for the
    same ``order``. It is never among its own.
    """
    rng = np.random.default_rng(order)
    labels = [u.label for u in corpus.utterances]
    of_speaker: dict[str, list[int]] = defaultdict(list)
    for i in rng.permutation(len(corpus.utterances)).tolist():
        of_speaker[corpus.utterances[i].speaker].append(i)
    for i, u in enumerate(corpus.utterances):
        everything = of_speaker[u.speaker]
        yield (
            everything[: everything.index(i)]
            if enrolment.kind == "earlier"
            else chosen([k for k in everything if k != i], labels, enrolment, rng)
        )


def chosen(
    others: list[int], labels: list[str], enrolment: Enrolment, rng: np.random.Generator
) -> list[int]:
    """Those of ``others`` that are known; ``labels`` is of the whole corpus."""
    number = enrolment.utterances
    shuffled = [others[k] for k in rng.permutation(len(others))]
    calm = [k for k in shuffled if labels[k] == "neutral"]
    if enrolment.kind == "neutral":
        return calm[:number]
    if enrolment.kind == "mostly neutral":
        first = calm[: round(NEUTRAL_SHARE * number + 1e-9)]
        return first + [k for k in shuffled if k not in first][: number - len(first)]
    if enrolment.kind == "one emotion" and shuffled:
        emotions = sorted({labels[k] for k in shuffled})
        one = emotions[int(rng.integers(len(emotions)))]
        return [k for k in shuffled if labels[k] == one][:number]
    return shuffled[:number]
