"""What was missed is told later, once and in order; what is gone is said to be gone."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from edgeser.events.journal.answer import MAX_EVENTS
from edgeser.events.journal.journal import JournalPlace
from edgeser.events.journal.store import Entry, JournalStore
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import EmotionEvent, Event, FaultEvent, encode
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.catch_up import Position
from edgeser.events.subscribe.subscriber import Received, Subscriber

from .helpers import (
    PATIENCE_S,
    Start,
    asker,
    emotion,
    fault,
    faults_until,
    numbers,
    python,
    sent,
    since,
    speech,
    status,
    subscribe,
    take,
    until,
)


def test_all_is_everything_that_is_held_in_the_order_of_publishing(
    endpoint: str, start: Start
) -> None:
    told = []
    for _ in range(3):
        publisher = start()
        for event in (speech(), emotion(kind="partial"), emotion(), fault(), status()):
            publisher.publish(event)
        kinds = [("speech", 1), ("emotion", 2), ("fault", 1)]
        told += [(publisher.epoch, kind, seq) for kind, seq in kinds]
    until(lambda: publisher.last_seq().get("status.mic") == 1)
    with since(endpoint, "all") as subscriber:
        past = take(subscriber, 9)
        payload = subscriber.payload
        publisher.publish(fault("live"))
        live = next(subscriber)
    assert [(e.epoch, e.__struct_config__.tag, e.seq) for e in past if isinstance(e, Event)] == told
    assert payload == encode(past[-1])  # type: ignore[arg-type]
    assert isinstance(live, FaultEvent)
    assert live.seq == 2


def test_an_answer_longer_than_a_batch_is_carried_on(endpoint: str, start: Start) -> None:
    publisher = start()
    for _ in range(3):
        sent(publisher, 300)
    with since(endpoint, "all") as subscriber:
        items = take(subscriber, 900)
        sent(publisher, 5)
        items += take(subscriber, 5)
    assert len(items) > 3 * MAX_EVENTS
    assert numbers(items) == [(publisher.epoch, seq) for seq in range(1, 906)]


def test_only_the_topics_asked_for(endpoint: str, start: Start) -> None:
    publisher = start()
    for stream in ("mic", "microphone"):
        publisher.publish(fault(stream=stream))
        publisher.publish(speech(stream=stream))
    until(lambda: len(publisher.last_seq()) == 4)
    with since(endpoint, "all", "speech.", "fault.micro") as subscriber:
        items = take(subscriber, 3)
        publisher.publish(speech())
        items += take(subscriber, 1)
    found = [(type(item).__name__, item.stream) for item in items if isinstance(item, Event)]
    assert found == [
        ("SpeechEvent", "mic"),
        ("FaultEvent", "microphone"),
        ("SpeechEvent", "microphone"),
        ("SpeechEvent", "mic"),
    ]


def test_partials_that_were_missed_are_no_gap_but_finals_are(endpoint: str, start: Start) -> None:
    publisher = start()
    for kind in ("partial", "partial", "final", "partial"):
        publisher.publish(emotion(kind=kind))
    until(lambda: publisher.last_seq().get("emotion.mic") == 4)
    with since(endpoint, f"{publisher.epoch}:0", "emotion.") as subscriber:
        first = next(subscriber)
        publisher.publish(emotion(kind="partial"))
        second = next(subscriber)
    assert isinstance(first, EmotionEvent)
    assert isinstance(second, EmotionEvent)
    assert (first.seq, first.kind, second.seq) == (3, "final", 5)


def test_missing_partials_between_finals_are_no_gap(start: Start) -> None:
    publisher = start()
    for kind in ("final", "partial", "partial", "final"):
        publisher.publish(emotion(kind=kind))
    until(lambda: publisher.last_seq().get("emotion.mic") == 4)
    for wanted, told in ((2, []), (3, []), (4, [4])):
        with asker(publisher) as socket:
            topics = {"emotion.mic": 1}
            request = {"id": 1, "epoch": publisher.epoch, "topics": topics, "until": wanted}
            socket.send(msgspec.json.encode(request))
            *parts, end = map(msgspec.json.decode, socket.recv_multipart())
        assert [part["seq"] for part in parts] == told
        assert end["through"] == {"emotion.mic": wanted}


def test_what_was_trimmed_is_a_gap(endpoint: str, start: Start, file: Path) -> None:
    store = JournalStore(file, "old")
    event = encode(msgspec.structs.replace(fault(), epoch="old", seq=5))
    # 1 to 3 are gone; 4 was never kept; 6 was lost while the journal was off; 7 is gone again.
    store.append([Entry("fault.mic", 3, 0, 1.0, b"{}"), Entry("speech.mic", 2, 0, 1.0, b"{}")])
    store.trim(1, 1e9)
    now = time.time()
    later = msgspec.structs.replace(fault(), epoch="old", seq=7)
    store.append(
        [Entry("fault.mic", 5, 3, now, event), Entry("fault.mic", 7, 6, now, encode(later))]
    )
    store.close()
    publisher = start()
    sent(publisher, 1)
    with since(endpoint, "all") as subscriber:
        items = take(subscriber, 6)
    assert Gap("speech.mic", "old", 1, 2) in items
    items.remove(Gap("speech.mic", "old", 1, 2))
    assert [item if isinstance(item, Gap) else item.seq for item in items] == [
        Gap("fault.mic", "old", 1, 3),
        5,
        Gap("fault.mic", "old", 6, 6),
        7,
        1,
    ]


def test_a_run_that_nobody_knows_is_a_gap_without_an_end(endpoint: str, start: Start) -> None:
    publisher = start()
    sent(publisher, 2)
    with since(endpoint, Position("lost", {"fault.mic": 7})) as subscriber:
        assert next(subscriber) == Gap("fault.mic", "lost", 8, None)
        assert numbers(take(subscriber, 2)) == [(publisher.epoch, 1), (publisher.epoch, 2)]


def test_without_a_journal_what_was_missed_is_a_gap(endpoint: str) -> None:
    with Publisher([endpoint]) as publisher:
        sent(publisher, 5)
        publisher.publish(emotion(kind="partial"))
        until(lambda: "emotion.mic" in publisher.last_seq())
        with since(endpoint, f"{publisher.epoch}:2") as subscriber:
            assert next(subscriber) == Gap("fault.mic", publisher.epoch, 3, 5)
            sent(publisher, 1)
            assert numbers(take(subscriber, 1)) == [(publisher.epoch, 6)]


FOLLOW = """
import sys
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.subscriber import Subscriber

with Subscriber(sys.argv[1], timeout_s=120, receive_hwm=50) as subscriber:
    for item in subscriber:
        if isinstance(item, Gap):
            print("gap", item, flush=True)
        else:
            print(item.epoch, item.seq, flush=True)
            if item.message == "the end":
                break
"""


def test_a_subscriber_that_was_stopped_gets_all_of_it_later_and_delays_nobody(
    endpoint: str, file: Path
) -> None:
    events, message = 2000, "x" * 2000
    place = JournalPlace(file)
    with Publisher([endpoint], send_hwm=500, journal=place) as publisher:
        with subscribe(publisher) as other:
            stopped = python(FOLLOW, endpoint)
            until(lambda: publisher.subscriptions == 2)
            publisher.publish(fault("the beginning"))
            assert stopped.stdout is not None
            told = stopped.stdout.readline()
            os.kill(stopped.pid, signal.SIGSTOP)
            received = take(other, 1)
            for _ in range(events // 20):
                for _ in range(20):
                    publisher.publish(fault(message))
                received += take(other, 20)
            os.kill(stopped.pid, signal.SIGCONT)
            publisher.publish(fault("the end"))
            while stopped.poll() is None:
                publisher.publish(status())
                time.sleep(0.05)
            rest, errors = stopped.communicate()
        epoch = publisher.epoch
    assert errors == ""
    assert numbers(received) == [(epoch, seq) for seq in range(1, events + 2)]
    assert (told + rest).splitlines() == [f"{epoch} {seq}" for seq in range(1, events + 3)]


def test_the_rest_of_a_run_that_was_missed_is_told_before_the_next(
    endpoint: str, start: Start
) -> None:
    publishers = [start()]
    items: list[Received] = []
    with Subscriber(endpoint, ["fault."], PATIENCE_S) as subscriber:
        until(lambda: publishers[0].subscriptions == 2)
        sent(publishers[0], 1)
        items += take(subscriber, 1)
        subscriber._timeout_s = 0.2
        for _ in range(3):  # while the subscriber looks away
            sent(publishers[-1], 300)
            publishers.append(start())
        sent(publishers[-1], 6)

        def came() -> bool:
            try:
                items.extend(subscriber)
            except TimeoutError:
                publishers[-1].publish(status())
            return len(items) == 1 + 300 * 3 + 6

        until(came)
    expected = [(publishers[0].epoch, seq) for seq in range(1, 302)]
    for publisher, count in zip(publishers[1:], (300, 300, 6), strict=True):
        expected += [(publisher.epoch, seq) for seq in range(1, count + 1)]
    assert numbers(items) == expected


def hear_the_end(subscriber: Subscriber, publisher: Publisher) -> list[Received]:
    """A fault, and the word that this was all."""
    items = faults_until(subscriber, publisher, lambda _: publisher.subscriptions > 0)
    sent(publisher, 1)
    items += faults_until(subscriber, publisher, lambda items: bool(items))
    publisher.publish(msgspec.structs.replace(status(), state="stopping"))
    publisher.close()

    def heard() -> bool:
        with suppress(TimeoutError):
            items.extend(subscriber)
        return subscriber._catch_up._stopped_well

    until(heard)
    return items


def test_a_run_that_began_and_ended_behind_one_that_stopped_well_is_told(
    endpoint: str, start: Start, file: Path
) -> None:
    with Subscriber(endpoint, ["fault."], timeout_s=0.2) as subscriber:
        first = start()
        items = hear_the_end(subscriber, first)
        with Publisher([f"{endpoint}.other"], journal=JournalPlace(file)) as unheard:
            sent(unheard, 2)
        last = start()
        sent(last, 1)
        items += faults_until(subscriber, last, lambda items: len(items) == 3)
    expected = [(first.epoch, 1), (unheard.epoch, 1), (unheard.epoch, 2), (last.epoch, 1)]
    assert numbers(items) == expected


@pytest.mark.parametrize("keeps", [True, False])
def test_an_ordinary_restart_is_no_gap(endpoint: str, file: Path, keeps: bool) -> None:
    journal = JournalPlace(file) if keeps else None
    with Subscriber(endpoint, ["fault."], timeout_s=0.2) as subscriber:
        for _ in range(3):
            with Publisher([endpoint], journal=journal) as publisher:
                items = hear_the_end(subscriber, publisher)
            assert numbers(items) == [(publisher.epoch, 1)]


def test_async_it_is_the_same(endpoint: str, start: Start) -> None:
    publisher = start()
    sent(publisher, 600)

    async def listen() -> list[Received]:
        got: list[Received] = []
        async with since(endpoint, "all") as subscriber:
            async for item in subscriber:
                got.append(item)
                if len(got) == 600:
                    publisher.publish(fault("live"))
                if len(got) == 601:
                    break
        return got

    items = asyncio.run(listen())
    assert numbers(items) == [(publisher.epoch, seq) for seq in range(1, 602)]


def test_it_waits_for_a_daemon_that_is_not_there_yet(endpoint: str, start: Start) -> None:
    with Subscriber(endpoint, timeout_s=0.2, since="all") as subscriber:
        with pytest.raises(TimeoutError):
            next(subscriber)
        publisher = start()
        sent(publisher, 3)
        items: list[Received] = []

        def came() -> bool:
            try:
                items.append(next(subscriber))
            except TimeoutError:
                return False
            return len(items) == 3

        until(came)
    assert numbers(items) == [(publisher.epoch, seq) for seq in (1, 2, 3)]
