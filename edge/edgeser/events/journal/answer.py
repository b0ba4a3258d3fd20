"""The answer to a replay request, from the journal."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from edgeser.events.journal.reader import JournalReader, Kept, Topic
from edgeser.events.schema import PASSING
from edgeser.events.sequence import Gap
from edgeser.events.wire.replay import END_OF_NUMBERS, ReplayEnd, ReplayRequest, encode_part

MAX_EVENTS = 256
MAX_BYTES = 262_144
"""An answer ends once it has so many events or bytes."""


class RunProgress(NamedTuple):
    """How far the current run has been published, per topic."""

    epoch: str
    last_seq: Mapping[str, int]
    last_kept: Mapping[str, int]
    """Number of the last event given to the journal."""


def answer(request: ReplayRequest, journal: JournalReader | None, live: RunProgress) -> list[bytes]:
    """The parts of the answer. ``live`` must have been taken before the journal was opened.

    Without a journal, all that it would have held counts as gone. Raises ``sqlite3.Error``.
    """
    epoch = request.epoch or (journal and journal.first_epoch()) or live.epoch
    found = _topics(request, epoch, journal, live)
    if found is None:
        return [
            *_unknown(request, epoch),
            encode_part(_end_of_unknown(request, epoch, journal, live)),
        ]
    starts = {topic.name: _start(journal, topic, request) for topic in found}
    parts: list[bytes] = []
    size = 0
    reached = dict(starts)
    for topic, entry in _merged(journal, found, starts, request.until):
        if len(parts) >= MAX_EVENTS or size >= MAX_BYTES:
            end = ReplayEnd(
                id=request.id, epoch=epoch, more=True, through=reached, next=None, live=live.epoch
            )
            return [*parts, encode_part(end)]
        if entry.after > reached[topic.name]:
            parts.append(encode_part(Gap(topic.name, epoch, reached[topic.name] + 1, entry.after)))
        parts.append(entry.payload)
        size += len(entry.payload)
        reached[topic.name] = entry.seq
    for topic in found:
        last = _last_wanted(journal, topic, request.until)
        if last > reached[topic.name]:
            parts.append(encode_part(Gap(topic.name, epoch, reached[topic.name] + 1, last)))
    end = ReplayEnd(
        id=request.id,
        epoch=epoch,
        more=False,
        through=_through(request, epoch, found, live),
        next=_next(epoch, journal, live),
        live=live.epoch,
    )
    return [*parts, encode_part(end)]


def _start(journal: JournalReader | None, topic: Topic, request: ReplayRequest) -> int:
    """The number after which a topic is wanted."""
    if topic.name in request.topics:
        return request.topics[topic.name]
    if journal is None or not request.not_before:
        return request.after
    return max(request.after, journal.before_time(topic, request.not_before))


def _last_wanted(journal: JournalReader | None, topic: Topic, until: int) -> int:
    """The number of the last event up to ``until`` that was to be kept, whether it is held or not.

    ``until`` if no later entry is left to tell.
    """
    if topic.last <= until:
        return topic.last
    before = journal.before_next(topic, until) if journal else None
    return until if before is None else min(before, until)


def _topics(
    request: ReplayRequest, epoch: str, journal: JournalReader | None, live: RunProgress
) -> list[Topic] | None:
    """The wanted topics of a run, or None if the run is unknown."""
    known = {topic.name: topic for topic in journal.topics(epoch)} if journal else {}
    if epoch == live.epoch:
        for name, last in live.last_kept.items():
            known[name] = known.get(name, Topic(0, name, 0))._replace(last=last)
    elif not (journal and journal.knows(epoch)):
        return None
    prefixes = tuple(request.prefixes)
    return [known[n] for n in known if n in request.topics or n.startswith(prefixes)]


def _merged(
    journal: JournalReader | None, topics: list[Topic], starts: Mapping[str, int], until: int
) -> Iterator[tuple[Topic, Kept]]:
    """The entries of several topics, in the order of publishing."""
    if journal is None:
        return iter(())
    streams = [_entries(journal, topic, starts[topic.name], until) for topic in topics]
    return heapq.merge(*streams, key=lambda pair: pair[1].id)


def _entries(
    journal: JournalReader, topic: Topic, after: int, until: int
) -> Iterator[tuple[Topic, Kept]]:
    # What came after ``live`` was taken is left for the next request.
    for entry in journal.entries(topic, after, min(until, topic.last)):
        yield topic, entry


def _through(
    request: ReplayRequest, epoch: str, found: list[Topic], live: RunProgress
) -> dict[str, int]:
    through = {topic.name: topic.last for topic in found}
    if epoch != live.epoch:
        # Whatever an ended run published after its last entry was not meant to be kept.
        if request.until < END_OF_NUMBERS:
            through |= dict.fromkeys(request.topics, request.until)
    else:
        prefixes = tuple(request.prefixes)
        for name, last in live.last_seq.items():
            if name in request.topics or name.startswith(prefixes):
                through[name] = last
    return {name: min(last, request.until) for name, last in through.items()}


def _next(epoch: str, journal: JournalReader | None, live: RunProgress) -> str | None:
    if epoch == live.epoch:
        return None
    return (journal.next_epoch(epoch) if journal else None) or live.epoch


def _unknown(request: ReplayRequest, epoch: str) -> list[bytes]:
    """The gaps of an unknown run: everything may be gone of each topic named."""
    named = request.topics or dict.fromkeys(request.prefixes, request.after)
    return [
        encode_part(Gap(topic, epoch, after + 1, None))
        for topic, after in named.items()
        if not topic.startswith(PASSING)
    ]


def _end_of_unknown(
    request: ReplayRequest, epoch: str, journal: JournalReader | None, live: RunProgress
) -> ReplayEnd:
    first = (journal and journal.first_epoch()) or live.epoch
    return ReplayEnd(
        id=request.id,
        epoch=epoch,
        known=False,
        more=False,
        through={},
        next=first,
        live=live.epoch,
    )
