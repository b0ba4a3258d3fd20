"""Past events from a journal. Each call opens the file, reads, and closes it: run it in a thread.

All raise ``NoJournalError``, with the reason, if the journal cannot be read.
"""

from __future__ import annotations

import csv
import io
import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edgeser.errors import UserError
from edgeser.events.journal.file import ForeignFileError, size_of
from edgeser.events.journal.reader import JournalReader, Published
from edgeser.events.schema import decode
from edgeser.events.table import COLUMNS, row
from edgeser.page.query import Glance, Query

MAX_TIMELINE = 200_000
"""Finals in one answer: more than a journal of 100 MB holds."""

_glance = msgspec.json.Decoder(Glance).decode
_encode = msgspec.json.Encoder().encode


class NoJournalError(UserError):
    """The journal is not there, or cannot be read."""


class Found(msgspec.Struct, frozen=True):
    """An event exactly as it was published."""

    id: int
    event: msgspec.Raw


class Events(msgspec.Struct, frozen=True):
    """A page of events. ``next``: the ``after`` of the next page's query; null: there is none."""

    events: list[Found]
    next: int | None


class Fault(msgspec.Struct, frozen=True):
    """A fault on the timeline."""

    time: float
    stream: str
    code: str
    message: str
    recovered: bool


class Timeline(msgspec.Struct, frozen=True):
    """Finals in columns. ``label`` and ``stream`` are indices into ``labels`` and ``streams``.

    ``end_ms``: when it was published, after ``since``; ``length_ms``: of the speech;
    ``confidence``: in percent.
    """

    since: float
    labels: list[str]
    streams: list[str]
    end_ms: list[int]
    length_ms: list[int]
    label: list[int]
    stream: list[int]
    confidence: list[int]
    faults: list[Fault]
    complete: bool


class Bin(msgspec.Struct):
    """Sums over the finals and faults between two times."""

    finals: int = 0
    speech_s: dict[str, float] = {}
    faults: int = 0


class JournalExtent(msgspec.Struct, frozen=True):
    """What a journal holds."""

    first: float | None
    last: float | None
    events: int
    bytes: int


def search(path: Path, query: Query) -> Events:
    """A page of events."""
    found: list[Found] = []
    last = None
    for entry, _ in _wanted(path, query):
        if len(found) == query.limit:
            return Events(found, last)
        found.append(Found(entry.id, msgspec.Raw(entry.payload)))
        last = entry.id
    return Events(found, None)


def csv_lines(events: Events, *, header: bool) -> bytes:
    """A page of events in the columns of ``edgeser events --csv``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(COLUMNS)
    for found in events.events:
        try:
            writer.writerow(row(decode(bytes(found.event))))
        except msgspec.MsgspecError:  # of a later version
            continue
    return text.getvalue().encode()


def timeline(path: Path, query: Query) -> bytes:
    """A ``Timeline``, as JSON."""
    labels: dict[str, int] = {}
    streams: dict[str, int] = {}
    columns: tuple[list[int], ...] = ([], [], [], [], [])
    end_ms, length_ms, label, stream, confidence = columns
    faults: list[Fault] = []
    complete = True
    for entry, event in _wanted(path, query):
        if event.type == "fault":
            faults.append(
                Fault(entry.time, event.stream, event.code, event.message, event.recovered)
            )
        elif event.type == "emotion":
            if len(label) == MAX_TIMELINE:
                complete = False
                break
            end_ms.append(round(1000 * (entry.time - query.since)))
            length_ms.append(round(1000 * event.length_s))
            label.append(labels.setdefault(event.label, len(labels)))
            stream.append(streams.setdefault(event.stream, len(streams)))
            confidence.append(round(100 * event.confidence))
    return _encode(
        Timeline(
            query.since,
            list(labels),
            list(streams),
            end_ms,
            length_ms,
            label,
            stream,
            confidence,
            faults,
            complete,
        )
    )


def bins(path: Path, query: Query, edges: Sequence[float]) -> list[Bin]:
    """Sums between each edge and the next."""
    sums = [Bin() for _ in edges[1:]]
    span = msgspec.structs.replace(query, since=edges[0], before=edges[-1])
    for entry, event in _wanted(path, span):
        into = sums[bisect_right(edges, entry.time) - 1]
        if event.type == "fault":
            into.faults += 1
        elif event.type == "emotion":
            into.finals += 1
            into.speech_s[event.label] = into.speech_s.get(event.label, 0.0) + event.length_s
    return sums


def extent(path: Path) -> JournalExtent:
    """The times that the journal covers, and its size."""
    with _opened(path) as reader:
        held = reader.extent()
    size = size_of(path)
    if held is None:
        return JournalExtent(None, None, 0, size)
    return JournalExtent(held.first, held.last, held.entries, size)


def recent(path: Path, since: float, before: float) -> list[Published]:
    """All events published from one time until another."""
    with _opened(path) as reader:
        return list(reader.published(since, before))


def _wanted(path: Path, query: Query) -> Iterator[tuple[Published, Glance]]:
    with _opened(path) as reader:
        entries = reader.published(
            query.since, query.before, beyond=query.after, newest_first=query.newest_first
        )
        for entry in entries:
            try:
                event = _glance(entry.payload)
            except (msgspec.MsgspecError, RecursionError):  # of a later version, or not ours
                continue
            if query.wants(event, entry.topic):
                yield entry, event


@contextmanager
def _opened(path: Path) -> Iterator[JournalReader]:
    try:
        with JournalReader(path) as reader:
            yield reader
    except FileNotFoundError:
        raise NoJournalError(
            f"journal {path}: there is none yet",
            "it begins when the daemon hears something, unless journal.enabled is false; "
            "if it keeps another one, name that with --journal",
        ) from None
    except PermissionError as error:
        raise NoJournalError(f"journal {path}: permission denied") from error
    except ForeignFileError as error:
        raise NoJournalError(f"journal {path}: {error}") from error
    except (OSError, sqlite3.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise NoJournalError(f"journal {path}: cannot be read: {why}") from error
