"""Which speakers and recordings a training heard, to tell whether a scored voice is unseen."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path

import msgspec
import soundfile

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus, Utterance
from edgeser_train.corpora.corpus import reading
from edgeser_train.corpora.releases import released
from edgeser_train.corpora.trim import TRIMMING
from edgeser_train.data.protocols import Fold


class Heard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model has heard, including its ancestors: its teachers and its initial weights.

    ``speakers``: as ``speaker_of`` names them. ``sounds``: digests by ``sound_digest``. ``known``:
    False if an ancestor does not record whom it heard, or has a speaker who may, by the name, be
    one whom the fold holds out. ``validating_speakers``, ``validating_sounds``: those of them that
    were used only to choose among its weights, as a validation part is.
    """

    speakers: list[str]
    sounds: list[str]
    known: bool = True
    validating_speakers: list[str] = []
    validating_sounds: list[str] = []


def heard_in(corpus: Corpus, fold: Fold, ancestors: Sequence[Heard | None]) -> Heard:
    """What a fold's model has heard: the training and validation part, and what its ancestors have
    heard (None for one from before this was recorded).

    Raises UserError for a file that cannot be read.
    """
    recorded = [ancestor for ancestor in ancestors if ancestor is not None]
    speakers = {speaker for ancestor in recorded for speaker in ancestor.speakers}
    sounds = {sound for ancestor in recorded for sound in ancestor.sounds}
    known = (
        len(recorded) == len(ancestors)
        and all(ancestor.known for ancestor in recorded)
        and not _may_be_one(speakers, speakers_of(corpus, (*fold.test, *fold.validation)))
    )
    trained_speakers, trained_sounds = speakers_of(corpus, fold.train), _sounds(corpus, fold.train)
    for ancestor in recorded:
        trained_speakers |= set(ancestor.speakers) - set(ancestor.validating_speakers)
        trained_sounds |= set(ancestor.sounds) - set(ancestor.validating_sounds)
    speakers |= speakers_of(corpus, (*fold.train, *fold.validation))
    sounds |= _sounds(corpus, (*fold.train, *fold.validation))
    return Heard(
        sorted(speakers),
        sorted(sounds),
        known,
        sorted(speakers - trained_speakers),
        sorted(sounds - trained_sounds),
    )


def check_disjoint(corpus: Corpus, folds: Iterable[Fold]) -> None:
    """Check that no recording is in two parts of a fold, under whatever name.

    A few recordings are in a release twice, by the same speaker: where a protocol has speakers in
    two parts, such a pair may be split. Raises UserError that names both files, and as
    ``sound_digest`` does.
    """
    same: dict[str, list[int]] = defaultdict(list)
    for i, u in enumerate(corpus.utterances):
        same[sound_digest(u)].append(i)
    twins = [alike for alike in same.values() if len(alike) > 1]
    for fold in folds:
        part_of = {i: part for part, indices in fold.parts.items() for i in indices}
        for i, k in (pair for alike in twins for pair in _in_two_parts(corpus, alike, part_of)):
            one, other = corpus.utterances[i], corpus.utterances[k]
            if one.speaker != other.speaker:
                fix = "take one out: a person has one name, in one list"
            elif speaker_of(corpus, one).partition(":")[0] not in released():
                fix = "take one out, or give both one group"
            else:
                continue
            raise UserError(
                f"fold {fold.name}: {one.path} of speaker {one.speaker} in {part_of[i]} and "
                f"{other.path} of speaker {other.speaker} in {part_of[k]} are the same recording",
                fix,
            )


def _in_two_parts(
    corpus: Corpus, alike: list[int], part_of: dict[int, str]
) -> Iterator[tuple[int, int]]:
    """Pairs of files of one recording in different parts, only the first per part and speaker."""
    first: dict[tuple[str, str], int] = {}
    for i in alike:
        if i in part_of:
            first.setdefault((part_of[i], corpus.utterances[i].speaker), i)
    if len({part for part, _ in first}) > 1:
        for i, k in combinations(first.values(), 2):
            if part_of[i] != part_of[k]:
                yield i, k


def speaker_of(corpus: Corpus, utterance: Utterance) -> str:
    """The speaker, unique among all corpora, e.g. "ravdess:07", as merged corpora name them."""
    if len(corpus.corpora) > 1:
        return utterance.speaker
    return f"{corpus.source}:{utterance.speaker}"


def speakers_of(corpus: Corpus, indices: Iterable[int]) -> set[str]:
    """The speakers of those utterances, as ``speaker_of`` names them."""
    return {speaker_of(corpus, corpus.utterances[i]) for i in indices}


def _sounds(corpus: Corpus, indices: Iterable[int]) -> set[str]:
    return {sound_digest(corpus.utterances[i]) for i in indices}


def sound_digest(utterance: Utterance) -> str:
    """A digest of all samples in its file: the same under any name, in any lossless format, trimmed
    or not. Raises UserError for a file that cannot be read.
    """
    with reading(utterance.path):
        status = utterance.path.stat()
        return _digest(utterance.path, status.st_size, status.st_mtime_ns)


def corpus_digest(corpus: Corpus) -> str:
    """A digest of all of the corpus's sound. Raises UserError as ``sound_digest`` does."""
    digest = hashlib.sha256()
    for u in corpus.utterances:
        digest.update(f"{sound_digest(u)}{f' {TRIMMING}' if u.trim else ''}\n".encode())
    return digest.hexdigest()[:16]


@cache
def _digest(path: Path, size: int, changed_ns: int) -> str:
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    return hashlib.sha256(f"{rate} {samples.shape}".encode() + samples.tobytes()).hexdigest()[:16]


def _may_be_one(some: set[str], others: set[str]) -> bool:
    """Whether a speaker of each have the same name in two corpora, at least one of which is a
    manifest: they may be the same person.
    """
    corpora_of: dict[str, set[str]] = {}
    for speaker in some:
        corpus, _, name = speaker.partition(":")
        corpora_of.setdefault(name, set()).add(corpus)
    for speaker in others:
        corpus, _, name = speaker.partition(":")
        for other in corpora_of.get(name, set()) - {corpus}:
            if not {corpus, other} <= released():
                return True
    return False
