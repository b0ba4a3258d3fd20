"""How each protocol divides a corpus into folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus

Indices = tuple[int, ...]

RANDOM_FOLDS = 5
SPEAKER_FOLDS = 6
ZHONG_PARTS = 10


@dataclass(frozen=True)
class Fold:
    """Positions in ``corpus.utterances`` of each part, ascending."""

    name: str
    train: Indices
    validation: Indices
    test: Indices

    @property
    def parts(self) -> dict[str, Indices]:
        """By name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def full(corpus: Corpus, seed: int) -> list[Fold]:
    """Everything trains."""
    return [Fold("full", tuple(range(len(corpus.utterances))), (), ())]


def loso(corpus: Corpus, seed: int) -> list[Fold]:
    """One fold for each speaker, named after it. Raises UserError for one speaker alone."""
    _check_speakers(corpus, "loso", 2)
    return [_of_speakers(corpus, speaker, {speaker}, set()) for speaker in corpus.speakers]


def loso_val(corpus: Corpus, seed: int) -> list[Fold]:
    """As ``loso``, and one more speaker validates: the test speaker's partner in a session of two,
    otherwise the next speaker in cyclic order. Raises UserError for fewer than three speakers.
    """
    _check_speakers(corpus, "loso_val", 3)
    speakers = corpus.speakers
    sessions: dict[str, set[str]] = defaultdict(set)
    session_of: dict[str, str] = {}
    for u in corpus.utterances:
        if u.session:
            sessions[u.session].add(u.speaker)
            session_of[u.speaker] = u.session
    folds = []
    for test, following in zip(speakers, speakers[1:] + speakers[:1], strict=True):
        partners = sessions[session_of[test]] - {test} if test in session_of else set()
        held = partners if len(partners) == 1 else {following}
        folds.append(_of_speakers(corpus, test, {test}, held))
    return folds


def speaker_kfold(corpus: Corpus, seed: int) -> list[Fold]:
    """Fold k tests the sorted speakers k, k + 6, k + 12, ... Raises UserError for too few."""
    _check_speakers(corpus, "speaker_kfold", SPEAKER_FOLDS)
    speakers = corpus.speakers
    return [
        _of_speakers(corpus, f"speakers-{k}", set(speakers[k::SPEAKER_FOLDS]), set())
        for k in range(SPEAKER_FOLDS)
    ]


def random_kfold(corpus: Corpus, seed: int) -> list[Fold]:
    """The groups, shuffled, dealt out to 5 parts; each part tests once."""
    groups = _groups(corpus)
    order = np.random.default_rng(seed).permutation(len(groups))
    parts: list[list[int]] = [[] for _ in range(RANDOM_FOLDS)]
    for place, group in enumerate(order):
        parts[place % RANDOM_FOLDS].extend(groups[group])
    return [
        Fold(f"part-{k}", _joined(parts[:k] + parts[k + 1 :]), (), _joined([part]))
        for k, part in enumerate(parts)
    ]


def zhong10(corpus: Corpus, seed: int) -> list[Fold]:
    """Zhong et al. 2020: each stratum (session, style, gender and label, as far as the corpus has
    them) is shuffled and dealt out to 10 parts in turn, beginning with one drawn by chance. Part 9
    always tests, parts 0 to 8 validate in turn: 9 folds.
    """
    strata: dict[tuple[str, ...], list[list[int]]] = defaultdict(list)
    for group in _groups(corpus):
        u = corpus.utterances[group[0]]
        strata[u.corpus, u.session, u.style, u.gender, u.label].append(group)
    rng = np.random.default_rng(seed)
    parts: list[list[int]] = [[] for _ in range(ZHONG_PARTS)]
    for stratum in sorted(strata):
        groups = strata[stratum]
        start = int(rng.integers(ZHONG_PARTS))
        for place, group in enumerate(rng.permutation(len(groups)), start):
            parts[place % ZHONG_PARTS].extend(groups[group])
    *others, test = parts
    return [
        Fold(f"part-{k}", _joined(others[:k] + others[k + 1 :]), _joined([held]), _joined([test]))
        for k, held in enumerate(others)
    ]


def fixed(corpus: Corpus, seed: int) -> list[Fold]:
    """What the corpus marks as train, validation and test. Raises UserError where a mark is
    missing, or a speaker has several.
    """
    marked: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    part_of: dict[str, str] = {}
    for i, u in enumerate(corpus.utterances):
        if u.part not in marked:
            raise UserError(
                f"protocol 'fixed': corpus {corpus.name} does not say which part {u.name} is in",
                "mark every utterance, or use another protocol, e.g. 'loso'",
            )
        if part_of.setdefault(u.speaker, u.part) != u.part:
            raise UserError(
                f"protocol 'fixed': corpus {corpus.name} has speaker {u.speaker} in "
                f"{part_of[u.speaker]} and in {u.part}",
                "give every speaker one part",
            )
        marked[u.part].append(i)
    return [Fold("fixed", *(tuple(indices) for indices in marked.values()))]


def cross(corpus: Corpus, seed: int) -> list[Fold]:
    """One fold for each corpus but the first, e.g. "emodb-to-ravdess4". Raises UserError for one
    corpus alone.
    """
    spoken_in = _by_corpus(corpus)
    if len(spoken_in) < 2:
        raise UserError(
            f"protocol 'cross': {corpus.name} is only one corpus", "give two or more with --corpus"
        )
    source, *targets = spoken_in
    train = tuple(spoken_in[source])
    return [Fold(f"{source}-to-{name}", train, (), tuple(spoken_in[name])) for name in targets]


def loco(corpus: Corpus, seed: int) -> list[Fold]:
    """One fold for each corpus, named after it. Raises UserError for one corpus alone."""
    spoken_in = _by_corpus(corpus)
    if len(spoken_in) < 2:
        raise UserError(
            f"protocol 'loco': {corpus.name} is only one corpus", "give two or more with --corpus"
        )
    everything = set(range(len(corpus.utterances)))
    return [
        Fold(name, _joined([everything - set(indices)]), (), tuple(indices))
        for name, indices in spoken_in.items()
    ]


def _by_corpus(corpus: Corpus) -> dict[str, list[int]]:
    spoken_in: dict[str, list[int]] = defaultdict(list)
    for i, u in enumerate(corpus.utterances):
        spoken_in[corpus.corpus_of(u)].append(i)
    return spoken_in


def _check_speakers(corpus: Corpus, protocol: str, fewest: int) -> None:
    speakers = len(corpus.speakers)
    if speakers < fewest:
        raise UserError(
            f"protocol '{protocol}': corpus {corpus.name} has {speakers} "
            f"speaker{'' if speakers == 1 else 's'}, it needs {fewest}",
            "use 'random_kfold', whose figures hold for these speakers only"
            if speakers < 2
            else "use 'loso'",
        )


def _of_speakers(corpus: Corpus, name: str, test: set[str], validation: set[str]) -> Fold:
    """All other speakers train."""
    parts: tuple[list[int], list[int], list[int]] = [], [], []
    for i, u in enumerate(corpus.utterances):
        parts[2 if u.speaker in test else 1 if u.speaker in validation else 0].append(i)
    train, held, tested = parts
    return Fold(name, tuple(train), tuple(held), tuple(tested))


def _groups(corpus: Corpus) -> list[list[int]]:
    """Utterances that must stay together, in the order of the first of each group."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, u in enumerate(corpus.utterances):
        groups[("group", u.group) if u.group else ("utterance", u.name)].append(i)
    return list(groups.values())


def _joined(parts: Sequence[Iterable[int]]) -> Indices:
    return tuple(sorted(i for part in parts for i in part))
