"""Requests to the replay: their answers, their limits, and those who ask for nonsense."""

from __future__ import annotations

import random
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from edgeser.errors import UserError
from edgeser.events.publish import replay_server
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import Event, StatusEvent, topic_of
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.catch_up import Position
from edgeser.events.subscribe.subscriber import Received, Subscriber
from edgeser.events.wire.replay import MAX_REQUEST_BYTES, MAX_TOPICS

from .helpers import (
    Start,
    asker,
    emotion,
    fault,
    faults_until,
    numbers,
    sent,
    since,
    speech,
    subscribe,
    take,
    until,
)


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


def kept(items: list[Received]) -> list[Event]:
    return [item for item in items if not isinstance(item, Gap | StatusEvent)]


def test_a_thousand_streams_are_told_to_who_joins_and_over_a_restart(
    endpoint: str, start: Start
) -> None:
    names = streams(1000)
    first = start()
    heard_by_all(first, names)
    with Subscriber(endpoint, timeout_s=0.5, since="all") as subscriber:
        items = faults_until(subscriber, first, lambda items: len(kept(items)) >= 3000)
        heard_by_all(start(), names)
        publisher = start()
        items += faults_until(subscriber, publisher, lambda items: len(kept(items)) >= 3000)
    told = kept(items)
    assert len({(item.epoch, topic_of(item)) for item in told}) == len(told) == 6000
    assert not any(isinstance(item, Gap) for item in items)


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
def test_hostile_requests_disturb_nobody(endpoint: str, start: Start, count: int) -> None:
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
        with since(endpoint, "all") as good:
            expected = [(publisher.epoch, seq) for seq in range(1, 51 + count // 100)]
            assert numbers(take(good, len(expected))) == expected


def test_it_rests_after_what_it_refuses_too(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=rests.append)
    monkeypatch.setattr(replay_server, "time", clock)
    with asker(start()) as socket:
        for request in ([b"{"], [b"[" * 10_000], [b"{}", b"{}"], [b'{"id":1}']):
            socket.send_multipart(request)
            socket.recv_multipart()
    until(lambda: len(rests) == 4)


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
        # Before the client hangs up: libzmq 4.3.5 aborts where a connection with half an answer
        # breaks just when the server's linger ends (zeromq/libzmq#3442).
        publisher.close()


def resident_kb() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")
