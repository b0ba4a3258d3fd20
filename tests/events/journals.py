"""A journal in a file: where it is, what is held, and its news."""

from __future__ import annotations

import time
from pathlib import Path

from edgeser.events.journal.journal import Journal, JournalPlace
from edgeser.events.journal.reader import JournalReader
from edgeser.events.journal.store import Entry
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import decode
from tests.events.helpers import (
    until,
)


def place(file: Path, **bounds: float) -> JournalPlace:
    return JournalPlace(file, **{"retry_s": 0.1, **bounds})


def held(file: Path) -> list[tuple[str, int]]:
    with JournalReader(file) as reader:
        events = [decode(payload) for payload in reader.payloads()]
    return [(event.epoch, event.seq) for event in events]


def entry(
    seq: int, *, topic: str = "fault.mic", at: float | None = None, size: int = 1000
) -> Entry:
    return Entry(topic, seq, seq - 1, time.time() if at is None else at, b"x" * size)


def codes(journal: Journal | Publisher, wanted: str) -> list[str]:
    """The codes of the journal's news up to ``wanted``; fails if that does not come."""
    found: list[str] = []

    def came() -> bool:
        news = journal.news() if isinstance(journal, Journal) else journal.journal_news()
        found.extend(item.code for item in news)
        return wanted in found

    until(came)
    return found


def held_seqs(file: Path, epoch: str) -> list[int]:
    with JournalReader(file) as reader:
        (topic,) = reader.topics(epoch)
        return [row.seq for row in reader.entries(topic, 0, 10**9)]
