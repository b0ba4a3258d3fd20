"""The past holds what is no event, or one of a later version: it is skipped, as it is when live."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edgeser.events.journal.answer import MAX_EVENTS
from tests.events.helpers import Start, numbers, sent, since, take, until
from tests.events.journals import held


def rewritten(file: Path, payload: bytes, where: str) -> None:
    with sqlite3.connect(file) as database:
        database.execute(f"UPDATE events SET payload = ? WHERE {where}", (payload,))
    database.close()


@pytest.mark.parametrize(
    "payload", [b'{"type":"earthquake","v":1}', b"\x80\x04\x95", b"[" * 100_000, b'{"type":"end"}']
)
def test_what_is_not_understood_is_skipped_and_counted(
    endpoint: str, file: Path, start: Start, payload: bytes
) -> None:
    publisher = start()
    sent(publisher, 5)
    until(lambda: len(held(file)) == 5)
    rewritten(file, payload, "seq IN (2, 5)")
    with since(endpoint, "all") as subscriber:
        items = take(subscriber, 3)
        sent(publisher, 1)
        items += take(subscriber, 1)
        assert numbers(items) == [(publisher.epoch, seq) for seq in (1, 3, 4, 6)]
        assert subscriber.malformed == 2


def test_an_answer_in_which_nothing_is_understood_is_carried_on(
    endpoint: str, file: Path, start: Start
) -> None:
    publisher = start()
    sent(publisher, 2 * MAX_EVENTS + 1)
    until(lambda: len(held(file)) == 2 * MAX_EVENTS + 1)
    rewritten(file, b"{}", f"seq <= {2 * MAX_EVENTS}")
    with since(endpoint, "all") as subscriber:
        assert numbers(take(subscriber, 1)) == [(publisher.epoch, 2 * MAX_EVENTS + 1)]
        assert subscriber.malformed == 2 * MAX_EVENTS
