"""Queries to the journal, parsed from a URL. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set

import msgspec

from edgeser.errors import UserError

MAX_LIMIT = 1000
MAX_EDGES = 500
MAX_VALUES = 64
"""Labels, streams or topics that may be named at once."""

MAX_TEXT = 128
MAX_TIME = 1e11
"""Unix seconds: the year 5138."""

FILTERS = frozenset({"topic", "label", "stream", "confidence"})
SPAN = FILTERS | {"since", "before"}
DOWNLOAD = SPAN | {"order"}
PAGED = DOWNLOAD | {"after", "limit"}
BINS = FILTERS | {"edges"}


class Glance(msgspec.Struct, frozen=True):
    """The fields by which an event is searched; the decoder skips all others."""

    type: str
    stream: str = ""
    label: str = ""
    confidence: float = 0.0
    start: float = 0.0
    end: float | None = None
    code: str = ""
    message: str = ""
    recovered: bool = False

    @property
    def length_s(self) -> float:
        """Seconds of speech; 0 if it has none."""
        return max(0.0, self.end - self.start) if self.end is not None else 0.0


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted. Empty tuples want all."""

    since: float = 0.0
    before: float = math.inf
    topics: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    confidence: float = 0.0
    after: int | None = None
    limit: int = 200
    newest_first: bool = False

    def wants(self, event: Glance, topic: str) -> bool:
        """Whether an event matches. Labels and confidence match only emotions."""
        if self.topics and not topic.startswith(self.topics):
            return False
        if self.streams and event.stream not in self.streams:
            return False
        if self.labels and event.label not in self.labels:
            return False
        return not self.confidence or (bool(event.label) and event.confidence >= self.confidence)


def read_query(fields: Mapping[str, list[str]], known: Set[str]) -> Query:
    """The query in the fields of a URL. Raises ``UserError`` for bad values and any field that is
    not ``known``."""
    for name in fields:
        if name not in known:
            raise UserError(f"{name[:40]}: expected one of {', '.join(sorted(known))}")
    since = _number(fields, "since", 0.0, -MAX_TIME, MAX_TIME)
    before = _number(fields, "before", math.inf, -MAX_TIME, MAX_TIME)
    if before < since:
        raise UserError(f"before: expected a time after since, {since}, got {before}")
    return Query(
        since=since,
        before=before,
        topics=_texts(fields, "topic"),
        labels=_texts(fields, "label"),
        streams=_texts(fields, "stream"),
        confidence=_number(fields, "confidence", 0.0, 0.0, 1.0),
        after=_whole(fields, "after"),
        limit=_limit(fields),
        newest_first=_newest_first(fields),
    )


def read_edges(fields: Mapping[str, list[str]]) -> list[float]:
    """Times that separate the bins, ascending. Raises ``UserError``."""
    texts = "".join(fields.get("edges", [])).split(",")
    if not 2 <= len(texts) <= MAX_EDGES:
        raise UserError(f"edges: expected 2 to {MAX_EDGES} times, in Unix seconds, with commas")
    edges = [_between("edges", text, -MAX_TIME, MAX_TIME) for text in texts]
    if edges != sorted(edges):
        raise UserError("edges: expected ascending times")
    return edges


def _texts(fields: Mapping[str, list[str]], name: str) -> tuple[str, ...]:
    values = fields.get(name, [])
    if len(values) > MAX_VALUES or not all(0 < len(value) <= MAX_TEXT for value in values):
        raise UserError(f"{name}: at most {MAX_VALUES}, of 1 to {MAX_TEXT} characters each")
    return tuple(values)


def _one(fields: Mapping[str, list[str]], name: str) -> str | None:
    values = fields.get(name, [])
    if len(values) > 1:
        raise UserError(f"{name}: given {len(values)} times, expected once")
    return values[0] if values else None


def _number(
    fields: Mapping[str, list[str]], name: str, default: float, least: float, most: float
) -> float:
    text = _one(fields, name)
    return default if text is None else _between(name, text, least, most)


def _between(name: str, text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise UserError(f"{name}: expected a number from {least:g} to {most:g}, got {text[:40]!r}")
    return number


def _whole(fields: Mapping[str, list[str]], name: str) -> int | None:
    text = _one(fields, name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise UserError(f"{name}: expected a whole number, got {text[:40]!r}")
    return int(text)


def _limit(fields: Mapping[str, list[str]]) -> int:
    limit = _whole(fields, "limit")
    if limit is None:
        return 200
    if not 1 <= limit <= MAX_LIMIT:
        raise UserError(f"limit: expected 1 to {MAX_LIMIT}, got {limit}")
    return limit


def _newest_first(fields: Mapping[str, list[str]]) -> bool:
    order = _one(fields, "order")
    if order not in (None, "oldest", "newest"):
        raise UserError(f"order: expected oldest or newest, got {order[:40]!r}")
    return order == "newest"
