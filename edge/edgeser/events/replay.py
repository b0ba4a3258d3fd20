"""Replay: asking for the past, and what is answered. Pure but for reading the journal.

A request is one JSON message, an answer is one message of JSON parts: events, and ``gap`` where
some are gone, in the order of publishing; last an ``end``. Nothing is remembered between requests:
``more`` means that the same may be asked again from where this answer ended.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from edgeser.events.journal.reader import JournalReader, Kept, Topic
from edgeser.events.schema import PASSING
from edgeser.events.sequence import Gap

MAX_TOPICS = 4096
"""More than 1,000 streams have: each has three that are kept."""

MAX_REQUEST_BYTES = 1 << 20
"""So many topics of the longest names take half of it. A client that sends more is disconnected."""

MAX_EVENTS = 256
MAX_BYTES = 262_144
"""An answer ends at the first event with which it has so many of either."""

END_OF_NUMBERS = 2**63 - 1

Number = Annotated[int, Meta(ge=0, le=END_OF_NUMBERS)]
TopicName = Annotated[str, Meta(max_length=128)]


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What of a run (``epoch``) is wanted."""

    id: Annotated[Number, Meta(description="comes back in the answer's `end`")]
    epoch: Annotated[
        str, Meta(max_length=64, description="which run; empty: the oldest that is known")
    ] = ""
    topics: Annotated[
        dict[TopicName, Number],
        Meta(max_length=MAX_TOPICS, description="topics, each with the last number received"),
    ] = {}
    prefixes: Annotated[
        list[TopicName],
        Meta(max_length=MAX_TOPICS, description="beginnings of more topics that are wanted"),
    ] = []
    after: Annotated[Number, Meta(description="last number received of those")] = 0
    until: Annotated[Number, Meta(description="last number wanted")] = END_OF_NUMBERS


class ReplayEnd(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="end"):
    """The last part of an answer."""

    id: Annotated[int, Meta(description="of the request")]
    epoch: Annotated[str, Meta(description="the run that was answered for")]
    known: Annotated[bool, Meta(description="whether the journal knows anything of that run")] = (
        True
    )
    more: Annotated[bool, Meta(description="the answer was cut; ask again from where it ended")]
    through: Annotated[
        dict[str, int],
        Meta(
            description="per topic, up to which number the answer is complete: numbers up to it "
            "that neither came nor are in a gap were not kept (partials, statuses, levels)"
        ),
    ]
    next: Annotated[str | None, Meta(description="the run after this one; null: there is none")]
    live: Annotated[str, Meta(description="the run that is being published now")]


class ReplayError(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """The only part of the answer to what is no request, or one that is too large."""

    id: Annotated[int | None, Meta(description="of the request, where it can be told")]
    message: Annotated[str, Meta(description="one line for a person")]


class Live(NamedTuple):
    """Where the run that is being published now has got to, per topic."""

    epoch: str
    last_seq: Mapping[str, int]
    last_kept: Mapping[str, int]
    """Number of the last event that the journal was given."""


_decoder = msgspec.json.Decoder(ReplayRequest)
_encode = msgspec.json.Encoder().encode


def read_request(message: bytes) -> ReplayRequest:
    """Raises ``msgspec.MsgspecError``, ``ValueError`` or ``RecursionError`` for what is none."""
    return _decoder.decode(message)


class _Numbered(msgspec.Struct, frozen=True):
    id: int | None = None


def refusal(message: bytes, error: Exception) -> bytes:
    """The answer to a message that ``read_request`` did not take."""
    try:
        number = msgspec.json.decode(message, type=_Numbered).id
    except (msgspec.MsgspecError, ValueError, RecursionError):
        number = None
    return _encode(ReplayError(id=number, message=str(error)))


def answer(request: ReplayRequest, journal: JournalReader | None, live: Live) -> list[bytes]:
    """The parts of the answer. ``live`` must have been taken before the journal was opened.

    Without a journal everything that it would have held is gone. Raises ``sqlite3.Error``.
    """
    epoch = request.epoch or (journal and journal.first_epoch()) or live.epoch
    found = _topics(request, epoch, journal, live)
    if found is None:
        return [*_unknown(request, epoch), _encode(_end_of_unknown(request, epoch, journal, live))]
    starts = {topic.name: request.topics.get(topic.name, request.after) for topic in found}
    parts: list[bytes] = []
    size = 0
    reached = dict(starts)
    for topic, entry in _merged(journal, found, starts, request.until):
        if len(parts) >= MAX_EVENTS or size >= MAX_BYTES:
            end = ReplayEnd(
                id=request.id, epoch=epoch, more=True, through=reached, next=None, live=live.epoch
            )
            return [*parts, _encode(end)]
        if entry.after > reached[topic.name]:
            parts.append(_encode(Gap(topic.name, epoch, reached[topic.name] + 1, entry.after)))
        parts.append(entry.payload)
        size += len(entry.payload)
        reached[topic.name] = entry.seq
    for topic in found:
        last = _last_wanted(journal, topic, request.until)
        if last > reached[topic.name]:
            parts.append(_encode(Gap(topic.name, epoch, reached[topic.name] + 1, last)))
    end = ReplayEnd(
        id=request.id,
        epoch=epoch,
        more=False,
        through=_through(request, epoch, found, live),
        next=_next(epoch, journal, live),
        live=live.epoch,
    )
    return [*parts, _encode(end)]


def _last_wanted(journal: JournalReader | None, topic: Topic, until: int) -> int:
    """The number of the last event up to ``until`` that was to be kept, whether it is held or not.

    Where nothing is left that could tell, ``until``.
    """
    if topic.last <= until:
        return topic.last
    before = journal.before_next(topic, until) if journal else None
    return until if before is None else min(before, until)


def _topics(
    request: ReplayRequest, epoch: str, journal: JournalReader | None, live: Live
) -> list[Topic] | None:
    """The wanted topics of a run, or None where nothing is known of it."""
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


def _through(request: ReplayRequest, epoch: str, found: list[Topic], live: Live) -> dict[str, int]:
    through = {topic.name: topic.last for topic in found}
    if epoch != live.epoch:
        # What a run that has ended published behind its last entry was not to be kept.
        if request.until < END_OF_NUMBERS:
            through |= dict.fromkeys(request.topics, request.until)
    else:
        prefixes = tuple(request.prefixes)
        for name, last in live.last_seq.items():
            if name in request.topics or name.startswith(prefixes):
                through[name] = last
    return {name: min(last, request.until) for name, last in through.items()}


def _next(epoch: str, journal: JournalReader | None, live: Live) -> str | None:
    if epoch == live.epoch:
        return None
    return (journal.next_epoch(epoch) if journal else None) or live.epoch


def _unknown(request: ReplayRequest, epoch: str) -> list[bytes]:
    """Nobody knows what there was: of each topic named, everything may be gone."""
    named = request.topics or dict.fromkeys(request.prefixes, request.after)
    return [
        _encode(Gap(topic, epoch, after + 1, None))
        for topic, after in named.items()
        if not topic.startswith(PASSING)
    ]


def _end_of_unknown(
    request: ReplayRequest, epoch: str, journal: JournalReader | None, live: Live
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
