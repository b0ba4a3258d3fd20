"""Where a subscriber begins: behind the position of an earlier one, or at a time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from edgeser.errors import UserError
from edgeser.events.schema import Event, topic_of
from edgeser.events.subscribe.catch_up import Position
from edgeser.events.subscribe.subscriber import Received, Subscriber

from .helpers import Start, fault, numbers, sent, since, speech, status, take, until

EPOCH = "f253efbe00c4d9a1"


def test_a_position_is_carried_on_from(endpoint: str, start: Start) -> None:
    publisher = start()
    sent(publisher, 10)
    with since(endpoint, f"{publisher.epoch}:7") as subscriber:
        assert numbers(take(subscriber, 3)) == [(publisher.epoch, seq) for seq in (8, 9, 10)]
        publisher.publish(speech())
        item = next(subscriber)
        assert (item.epoch, item.seq) == (publisher.epoch, 1)  # type: ignore[union-attr]
        position = subscriber.position
    assert position is not None
    sent(publisher, 3)
    publisher.publish(speech())
    second = start()
    sent(second, 2)
    with since(endpoint, position) as subscriber:
        items = take(subscriber, 6)
    first = [(publisher.epoch, seq) for seq in (11, 12, 13, 2)]
    assert numbers(items) == [*first, (second.epoch, 1), (second.epoch, 2)]


def test_a_position_moves_on_through_the_runs_of_the_past(endpoint: str, start: Start) -> None:
    told = []
    for _ in range(3):
        publisher = start()
        sent(publisher, 4)
        told += [(publisher.epoch, seq) for seq in range(1, 5)]
    heard: list[Received] = []
    position: str | Position | None = "all"
    while len(heard) < len(told):  # a program that ends after every third event
        with since(endpoint, position or "all") as subscriber:
            heard += take(subscriber, 3)
            position = subscriber.position
    assert numbers(heard) == told


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "yesterday", "10min", "18:00", "ALL", "f253efbe:17", EPOCH.upper(), EPOCH * 2),
        *(f"{EPOCH}:{seq}" for seq in ("", "y", "-1", "1:2", "9" * 19, "٣")),
    ],
)
def test_what_is_neither_a_time_nor_a_position_is_refused(endpoint: str, text: str) -> None:
    with pytest.raises(UserError, match="neither a time nor a position; expected all, 10m, "):
        Subscriber(endpoint, since=text)


@pytest.mark.parametrize("since", [5, b"all", 1.5])
def test_what_is_no_text_is_a_type_error(endpoint: str, since: Any) -> None:
    with pytest.raises(TypeError, match="since is a text"):
        Subscriber(endpoint, since=since)
    with pytest.raises(TypeError, match="endpoint is a text"):
        Subscriber(since)
    with pytest.raises(TypeError, match="topics is a list of prefixes"):
        Subscriber(endpoint, [since])


def test_a_position_after_a_time_leaves_out_what_was_before_it(endpoint: str, start: Start) -> None:
    publisher = start()
    for event in (speech(), fault("old"), status()):
        publisher.publish(event)
    until(lambda: publisher.last_seq().get("status.mic") == 1)
    moment = datetime.now().astimezone().isoformat()
    for message in ("new", "newest"):
        publisher.publish(fault(message))
    publisher.publish(speech())
    until(lambda: publisher.last_seq().get("speech.mic") == 2)
    with since(endpoint, moment) as subscriber:
        told = take(subscriber, 1)
        position = subscriber.position
    with since(endpoint, position or "all") as subscriber:
        told += take(subscriber, 2)
    assert [(topic_of(e), e.seq) for e in told if isinstance(e, Event)] == [
        *(("fault.mic", 2), ("fault.mic", 3)),
        ("speech.mic", 2),
    ]
