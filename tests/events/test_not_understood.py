"""What is no event, or one of a later version, is skipped and counted, in the past and live."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest
import zmq

from edgeser.events.journal.answer import MAX_EVENTS
from edgeser.events.schema import FaultEvent
from edgeser.events.subscribe.subscriber import MAX_MESSAGE_BYTES, Subscriber
from tests.events.helpers import (
    PATIENCE_S,
    Start,
    fault,
    numbered,
    numbers,
    sent,
    since,
    take,
    until,
)
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


def test_what_is_no_event_is_skipped_and_counted(wire: zmq.Socket[bytes], endpoint: str) -> None:
    good = numbered(fault(), 1)
    malformed = [
        [good],
        [b"fault.mic", good, b"more"],
        [b"fault.car", good],
        [b"\xff\xfe", good],
        [b"fault.mic", b""],
        [b"fault.mic", b"\x80\x04\x95"],
        [b"fault.mic", b"[" * 100_000],
        [b"fault.mic", good.replace(b'"v":1', b'"v":2')],
        [b"fault.mic", good.replace(b'"fault"', b'"earthquake"')],
        [b"fault.mic", good.replace(b'"recovered":false', b'"recovered":"no"')],
        [b"fault.mic", good.replace(b"trouble", b"tr\xffuble")],
        [b"fault.mic", numbered(fault(), 0)],
        [b"fault.mic", numbered(fault(), -1)],
        [b"fault.mic", numbered(fault(), 1, epoch="")],
        [b"fault.mic"] * 1000,
        [b"fault.mic", good[:-1] + b" " * MAX_MESSAGE_BYTES + b"}"],
    ]
    with Subscriber(endpoint, timeout_s=PATIENCE_S) as subscriber:
        wire.recv()
        for message in malformed:
            wire.send_multipart(message)
        wire.send_multipart([b"fault.mic", good])
        item = next(subscriber)
        assert isinstance(item, FaultEvent)
        assert item.seq == 1
        assert subscriber.malformed == len(malformed)


def test_a_deep_nest_in_an_unknown_field_is_survived(
    wire: zmq.Socket[bytes], endpoint: str
) -> None:
    """From Python 3.14 on it is no recursion that is too deep: the field is ignored."""
    first, second = numbered(fault(), 1), numbered(fault(), 2)
    nest = first[:-1] + b',"new":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with Subscriber(endpoint, timeout_s=PATIENCE_S) as subscriber:
        wire.recv()
        for payload in (nest, first, second):
            wire.send_multipart([b"fault.mic", payload])
        assert [getattr(item, "seq", None) for item in take(subscriber, 2)] == [1, 2]
        assert subscriber.malformed == (0 if sys.version_info >= (3, 14) else 1)
