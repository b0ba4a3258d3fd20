"""The messages of a replay. Pure.

A request is one JSON message, an answer is one message of JSON parts: events, and ``gap`` where
some are gone, in the order of publishing; last an ``end``. The server keeps no state between
requests: after ``more``, ask again from where this answer ended.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

MAX_TOPICS = 4096
"""More than 1,000 streams need: each has three topics that are kept."""

MAX_REQUEST_BYTES = 1 << 20
"""Twice what ``MAX_TOPICS`` of the longest names take. A client that sends more is disconnected."""

END_OF_NUMBERS = 2**63 - 1

Number = Annotated[int, Meta(ge=0, le=END_OF_NUMBERS)]
TopicName = Annotated[str, Meta(max_length=128)]
EpochName = Annotated[str, Meta(max_length=64)]


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What of a run (``epoch``) is wanted."""

    id: Annotated[Number, Meta(description="comes back in the answer's `end`")]
    epoch: Annotated[EpochName, Meta(description="which run; empty: the oldest that is known")] = ""
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
    not_before: Annotated[
        float, Meta(description="of the topics not named: only what was published since (Unix s)")
    ] = 0.0


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


_decoder = msgspec.json.Decoder(ReplayRequest)
encode_part = msgspec.json.Encoder().encode
"""An ``end``, an ``error`` or a gap, as a part of an answer."""


def read_request(message: bytes) -> ReplayRequest:
    """Raises ``msgspec.MsgspecError``, ``ValueError`` or ``RecursionError`` for anything else."""
    return _decoder.decode(message)


class _Numbered(msgspec.Struct, frozen=True):
    id: int | None = None


def refusal(message: bytes, error: Exception) -> bytes:
    """The answer to a message that ``read_request`` did not take."""
    try:
        number = msgspec.json.decode(message, type=_Numbered).id
    except (msgspec.MsgspecError, ValueError, RecursionError):
        number = None
    return encode_part(ReplayError(id=number, message=str(error)))
