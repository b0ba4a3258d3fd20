"""What was missed is told later, once and in order; what is gone is said to be gone."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec
import pytest
import zmq

from edgeser.errors import UserError
from edgeser.events.catch_up import Position
from edgeser.events.journal import JournalPlace
from edgeser.events.journal_store import Entry, JournalStore
from edgeser.events.publisher import Publisher
from edgeser.events.replay import MAX_EVENTS, MAX_REQUEST_BYTES, MAX_TOPICS
from edgeser.events.schema import EmotionEvent, Event, FaultEvent, StatusEvent, encode, topic_of
from edgeser.events.sequence import Gap
from edgeser.events.subscriber import Received, Subscriber

from .helpers import PATIENCE_S, emotion, fault, python, speech, status, subscribe, take, until

Start = Callable[[], Publisher]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def start(endpoint: str, file: Path) -> Iterator[Start]:
    """Start a publisher that keeps a journal; one at a time."""
    started: list[Publisher] = []

    def begin() -> Publisher:
        for publisher in started:
            publisher.close()
        started.append(Publisher([endpoint], journal=JournalPlace(file, retry_s=0.1)))
        return started[-1]

    yield begin
    started[-1].close()


def since(endpoint: str, position: str | Position, *topics: str) -> Subscriber:
    return Subscriber(endpoint, topics or ("",), PATIENCE_S, since=position)


def numbers(items: list[Received]) -> list[tuple[str, int]]:
    assert not any(isinstance(item, Gap) for item in items), items
    return [(item.epoch, item.seq) for item in items if isinstance(item, Event)]


def sent(publisher: Publisher, count: int, message: str = "") -> None:
    before = publisher.last_seq().get("fault.mic", 0)
    for _ in range(count):
        publisher.publish(fault(message))
    until(lambda: publisher.last_seq().get("fault.mic", 0) == before + count)


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
    store.trim(10**9, 2.0)
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
from edgeser.events.subscriber import Subscriber

with Subscriber(sys.argv[1], timeout_s=60, receive_hwm=50) as subscriber:
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
    with Subscriber(endpoint, ["fault."], timeout_s=0.2) as subscriber:
        until(lambda: publishers[0].subscriptions == 2)
        sent(publishers[0], 1)
        items += take(subscriber, 1)
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


def faults_until(
    subscriber: Subscriber, publisher: Publisher, condition: Callable[[list[Received]], bool]
) -> list[Received]:
    """Faults and gaps; meanwhile the publisher says that it is there."""
    items: list[Received] = []

    def holds() -> bool:
        publisher.publish(status())
        with suppress(TimeoutError):
            items.extend(subscriber)
        return condition(items)

    until(holds)
    return items


def hear_the_end(subscriber: Subscriber, publisher: Publisher) -> list[Received]:
    """A fault, and the word that this was all."""
    items = faults_until(subscriber, publisher, lambda _: publisher.subscriptions > 0)
    sent(publisher, 1)
    items += faults_until(subscriber, publisher, lambda items: bool(items))
    publisher.publish(msgspec.structs.replace(status(), state="stopping"))
    publisher.close()
    with suppress(TimeoutError):
        items += subscriber
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


@pytest.mark.parametrize("text", ["", ":", "a b", "x:y", "x:-1", "x:1:2", "x:" + "9" * 19, "x:٣"])
def test_a_malformed_position_is_refused(endpoint: str, text: str) -> None:
    with pytest.raises(UserError, match="position"):
        Subscriber(endpoint, since=text)


def asker(publisher: Publisher) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    socket.linger = 0
    socket.rcvtimeo = 20_000
    socket.connect(publisher.endpoints[0] + ".replay")
    return socket


def test_an_answer_is_plain_json_parts_that_end_with_an_end(start: Start) -> None:
    publisher = start()
    sent(publisher, 2)
    publisher.publish(emotion(kind="partial"))
    until(lambda: "emotion.mic" in publisher.last_seq())
    with asker(publisher) as socket:
        request = {"id": 7, "epoch": publisher.epoch, "prefixes": [""], "new": True}
        socket.send(msgspec.json.encode(request))
        first, second, end = map(msgspec.json.decode, socket.recv_multipart())
    assert (first["seq"], second["seq"]) == (1, 2)
    assert end == {
        "type": "end",
        "id": 7,
        "epoch": publisher.epoch,
        "known": True,
        "more": False,
        "through": {"fault.mic": 2, "emotion.mic": 1},
        "next": None,
        "live": publisher.epoch,
    }


def streams(count: int) -> list[str]:
    """Names so long that their topics are as long as they may be."""
    return [f"{n:0>120}" for n in range(count)]


def heard_by_all(publisher: Publisher, names: list[str]) -> None:
    """Something of each kind that is kept, of each stream."""
    for name in names:
        for event in (speech(stream=name), emotion(stream=name), fault(stream=name)):
            publisher.publish(event)
    until(lambda: len(publisher.last_seq()) >= 3 * len(names))


def test_a_thousand_streams_are_told_to_who_joins_and_over_a_restart(
    endpoint: str, start: Start
) -> None:
    names = streams(1000)
    first = start()
    heard_by_all(first, names)
    with Subscriber(endpoint, timeout_s=0.5, since="all") as subscriber:
        items = list(islice(subscriber, 3000))
        heard_by_all(start(), names)
        items += faults_until(subscriber, publisher := start(), lambda items: len(items) >= 3000)
    told = [item for item in items if not isinstance(item, Gap | StatusEvent)]
    assert len({(item.epoch, topic_of(item)) for item in told}) == len(told) == 6000
    assert not any(isinstance(item, Gap) for item in items)
    assert publisher.malformed_requests == 0


def test_a_request_that_is_too_large_is_answered_with_an_error(start: Start) -> None:
    publisher = start()
    topics = {f"fault.{n}": 1 for n in range(MAX_TOPICS + 1)}
    with asker(publisher) as socket:
        for request, number in (({"id": 7, "topics": topics}, 7), ({"id": "x"}, None), ([], None)):
            socket.send(msgspec.json.encode(request))
            (error,) = map(msgspec.json.decode, socket.recv_multipart())
            assert (error["type"], error["id"]) == ("error", number)
            assert error["message"]


@pytest.mark.parametrize("length", [10, 300_000])  # too many, and so long that none is sent
def test_who_asks_for_too_much_is_told_so(endpoint: str, start: Start, length: int) -> None:
    epoch = start().epoch
    after = {f"fault.{n:0{length}}": 1 for n in range(MAX_TOPICS + 1 if length < 1000 else 4)}
    with since(endpoint, Position(epoch, after)) as subscriber:
        for _ in range(2):
            with pytest.raises(UserError, match=r"events\.sock': the daemon does not tell"):
                next(subscriber)


def test_what_cannot_be_asked_for_is_said_and_is_a_gap(
    endpoint: str, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    first = start()
    topics = 0
    with Subscriber(endpoint, ["fault."], timeout_s=0.2) as subscriber:
        faults_until(subscriber, first, lambda _: first.subscriptions > 0)
        while topics <= MAX_TOPICS:
            for name in range(topics, topics := topics + 500):
                first.publish(fault(stream=str(name)))
            faults_until(subscriber, first, lambda items: len(items) == 500)
        items = faults_until(subscriber, start(), lambda items: len(items) >= topics)
    assert items == [Gap(f"fault.{n}", first.epoch, 2, None) for n in range(topics)]
    assert "the daemon does not tell what was missed" in caplog.text


def mutated(random_: random.Random, message: bytes) -> list[bytes]:
    """Garbage, or something that almost is a request; of one or several parts."""
    kind = random_.randrange(6)
    if kind == 0:
        return [random_.randbytes(random_.randrange(200))]
    if kind == 1:
        return [b"[" * random_.randrange(15_000)]
    if kind == 2:
        return [message] * random_.randrange(2, 50)
    data = bytearray(message)
    for _ in range(random_.randrange(1, 6)):
        at = random_.randrange(len(data))
        data[at : at + random_.randrange(4)] = random_.randbytes(random_.randrange(4))
    return [bytes(data)]


@pytest.mark.parametrize("count", [2000])
def test_hostile_requests_are_counted_and_disturb_nobody(
    endpoint: str, start: Start, count: int
) -> None:
    publisher = start()
    sent(publisher, 50)
    random_ = random.Random(1)
    request = {"id": 1, "epoch": publisher.epoch, "topics": {"fault.mic": 3}, "prefixes": [""]}
    with asker(publisher) as hostile, subscribe(publisher) as subscriber:
        for n in range(count):
            hostile.send_multipart(mutated(random_, msgspec.json.encode(request)))
            if n % 500 == 0:  # too long: this connection is cut, and made again
                hostile.send(b"x" * (MAX_REQUEST_BYTES + 1))
            if n % 100 == 0:
                publisher.publish(fault())
                take(subscriber, 1)
        assert publisher.malformed_requests > 0
        with since(endpoint, "all") as good:
            expected = [(publisher.epoch, seq) for seq in range(1, 51 + count // 100)]
            assert numbers(take(good, len(expected))) == expected


def test_a_client_that_takes_no_answers_costs_little(start: Start) -> None:
    publisher = start()
    sent(publisher, 300, "x" * 1000)
    request = msgspec.json.encode({"id": 1, "epoch": publisher.epoch, "prefixes": [""]})
    with asker(publisher) as greedy:
        greedy.rcvhwm = 1
        for _ in range(2000):
            greedy.send(request)
        before = resident_kb()
        with since(publisher.endpoints[0], "all") as good:
            assert len(take(good, 300)) == 300
        time.sleep(1)
        assert resident_kb() - before < 50_000


def resident_kb() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")
