"""What a voice is enrolled with: other utterances heard before, in most kinds its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import zip_longest
from typing import Literal, TypeAlias

import msgspec
import numpy as np

from edgeser_train.corpora import Corpus

Kind: TypeAlias = Literal[
    "any",
    "mostly neutral",
    "neutral",
    "one emotion",
    "earlier",
    "two people",
    "another person",
    "earlier of two people",
]

NEUTRAL_SHARE = 0.7
"""Of neutral utterances in "mostly neutral" and in the kinds with another person."""


class Enrolment(msgspec.Struct, frozen=True):
    """What is known of a voice: a number of other ``utterances``, of a ``kind``; 0 for nothing.

    ``earlier``: all that came before in a random order, whatever the number. ``two people``: half
    of them, alternating, are by another speaker of the corpus; ``another person``: all of them are.
    Both are mostly neutral.
    """

    utterances: int
    kind: Kind = "any"

    @property
    def name(self) -> str:
        if self.kind == "earlier":
            return "all earlier, of any emotion"
        if self.kind == "earlier of two people":
            return "all earlier, of two people"
        if not self.utterances:
            return "nothing"
        of = {"any": "of any emotion", "mostly neutral": self.kind, "neutral": self.kind}
        return f"{self.utterances}, {of.get(self.kind, f'of {self.kind}')}"

    @property
    def of_those_known(self) -> Enrolment:
        """The enrolment under which the enrolled utterances themselves were heard: as large, and of
        the same people."""
        if self.kind == "another person":
            return Enrolment(self.utterances, "mostly neutral")
        return self


NOTHING, EARLIER = Enrolment(0), Enrolment(0, "earlier")
ENROLMENTS = (
    NOTHING,
    *(Enrolment(n, kind) for kind in ("any", "mostly neutral", "neutral") for n in (1, 3, 10)),
    *(Enrolment(n, "one emotion") for n in (3, 10)),
    Enrolment(10, "another person"),
    Enrolment(10, "two people"),
    Enrolment(0, "earlier of two people"),
    EARLIER,
)


def enrolled_for(corpus: Corpus, enrolment: Enrolment, order: int) -> Iterator[list[int]]:
    """For every utterance the ones that its voice is enrolled with, drawn at random with the seed
    ``order``, never the utterance itself.
    """
    rng = np.random.default_rng(order)
    labels = [u.label for u in corpus.utterances]
    of_speaker: dict[str, list[int]] = defaultdict(list)
    for i in rng.permutation(len(corpus.utterances)).tolist():
        of_speaker[corpus.utterances[i].speaker].append(i)
    companions = _companions(list(of_speaker), order)
    for i, u in enumerate(corpus.utterances):
        everything = of_speaker[u.speaker]
        earlier = everything[: everything.index(i)]
        others = [k for k in everything if k != i]
        companion = of_speaker[companions[u.speaker]] if u.speaker in companions else []
        match enrolment.kind:
            case "earlier":
                yield earlier
            case "earlier of two people":
                yield _in_turn(earlier, companion[: len(earlier)])
            case "two people":
                half = Enrolment(enrolment.utterances // 2, "mostly neutral")
                own = chosen(others, labels, half, rng)
                yield _in_turn(own, chosen(companion, labels, half, rng))
            case "another person":
                yield chosen(companion, labels, enrolment.of_those_known, rng)
            case _:
                yield chosen(others, labels, enrolment, rng)


def _companions(speakers: list[str], order: int) -> dict[str, str]:
    """For each speaker the other one of "two people", drawn at random: in pairs; the odd last one
    gets the first. A single speaker has none.
    """
    drawn = [speakers[k] for k in np.random.default_rng(order).permutation(len(speakers))]
    pairs = dict(zip(drawn[::2], drawn[1::2], strict=False))
    pairs |= {second: first for first, second in pairs.items()}
    if len(drawn) > 1:
        pairs.setdefault(drawn[-1], drawn[0])
    return pairs


def _in_turn(own: list[int], others: list[int]) -> list[int]:
    """Both, alternating: one of ``others``, one of ``own``, and so on to the end of both."""
    turns = zip_longest(others, own)
    return [i for turn in turns for i in turn if i is not None]


def chosen(
    others: list[int], labels: list[str], enrolment: Enrolment, rng: np.random.Generator
) -> list[int]:
    """The enrolled ones of ``others``; ``labels`` is of the whole corpus."""
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
