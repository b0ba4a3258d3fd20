"""Subscribers get each event once, in order, and are told what they missed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

import edgeser
from edgeser.errors import UserError
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import EmotionEvent, FaultEvent, SpeechEvent
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.subscriber import Received, Subscriber

from .helpers import (
    PATIENCE_S,
    emotion,
    fault,
    level,
    numbered,
    python,
    speech,
    status,
    subscribe,
    take,
    until,
)

AS_SOMEBODY_ELSE = """
import os, sys
import edgeser.cli.listen, edgeser.events.subscribe.subscriber  # while we may still read them
from edgeser.cli import main

os.setgroups([])
os.setgid(12345)
os.setuid(12345)
main(["listen", "--json", "--connect", sys.argv[1]])
"""


def test_it_is_public() -> None:
    assert edgeser.Subscriber is Subscriber
    assert edgeser.Gap is Gap
    kinds = ("Emotion", "Speech", "Fault", "Status", "Level")
    for event, kind in zip((emotion(), speech(), fault(), status(), level()), kinds, strict=True):
        assert isinstance(event, getattr(edgeser, f"{kind}Event"))
        assert event.type == kind.lower()
    assert Gap("fault.mic", "a", 1, 2).type == "gap"


def test_topics_are_beginnings(endpoint: str) -> None:
    topics = ("emotion.", "speech.ca")
    with Publisher([endpoint]) as publisher, subscribe(publisher, *topics) as subscriber:
        until(lambda: publisher.subscriptions == 3)  # status events come to it as well
        publisher.publish(fault())
        publisher.publish(speech(stream="mic"))
        publisher.publish(speech(stream="car"))
        publisher.publish(emotion())
        first, second = take(subscriber, 2)
    assert isinstance(first, SpeechEvent)
    assert first.stream == "car"
    assert isinstance(second, EmotionEvent)


def test_the_payload_is_what_was_received(wire: zmq.Socket[bytes], endpoint: str) -> None:
    raw = numbered(fault(), 1).replace(b'{"type"', b'{ "new in v1.7": [1, {}],  "type"')
    with Subscriber(endpoint, timeout_s=PATIENCE_S) as subscriber:
        wire.recv()
        wire.send_multipart([b"fault.mic", raw])
        assert isinstance(next(subscriber), FaultEvent)
        assert subscriber.payload == raw
        wire.send_multipart([b"fault.mic", numbered(fault(), 3)])
        assert isinstance(next(subscriber), Gap)
        assert subscriber.payload == b""


def test_duplicates_are_dropped_and_losses_told(wire: zmq.Socket[bytes], endpoint: str) -> None:
    with Subscriber(endpoint, timeout_s=PATIENCE_S) as subscriber:
        wire.recv()
        for seq in (4, 5, 5, 4, 8, 7, 9):
            wire.send_multipart([b"fault.mic", numbered(fault(), seq)])
        items = take(subscriber, 5)
    gap = Gap("fault.mic", "a", 6, 7)
    assert [i if isinstance(i, Gap) else i.seq for i in items] == [4, 5, gap, 8, 9]


def test_a_status_tells_of_a_final_that_got_lost(wire: zmq.Socket[bytes], endpoint: str) -> None:
    told = msgspec.structs.replace(status(), last_seq={"emotion.mic": 7, "fault.mic": 3})
    with Subscriber(endpoint, ["emotion.", "status."], PATIENCE_S) as subscriber:
        wire.recv()
        wire.recv()
        wire.send_multipart([b"emotion.mic", numbered(emotion(), 6)])
        wire.send_multipart([b"status.mic", numbered(told, 20)])
        items = take(subscriber, 3)
    assert items[1] == Gap("emotion.mic", "a", 7, 7)
    assert [getattr(item, "seq", None) for item in items] == [6, None, 20]


def test_a_late_joiner_misses_nothing_it_could_have_got(endpoint: str) -> None:
    with Publisher([endpoint]) as publisher:
        for _ in range(10):
            publisher.publish(fault())
        until(lambda: publisher.last_seq() == {"fault.mic": 10})
        with subscribe(publisher) as subscriber:
            publisher.publish(fault())
            publisher.publish(fault())
            assert [i.seq for i in take(subscriber, 2) if isinstance(i, FaultEvent)] == [11, 12]


def test_it_carries_on_with_the_next_daemon(endpoint: str) -> None:
    told: list[int] = []
    with Subscriber(endpoint, timeout_s=0.1) as subscriber:
        with Publisher([endpoint]) as first:
            until(lambda: first.subscriptions == 1)
            first.publish(fault())
            until(lambda: isinstance(_next_or_none(subscriber), FaultEvent))
        with Publisher([endpoint]) as second:
            assert second.epoch != first.epoch
            deadline = time.monotonic() + PATIENCE_S
            while len(told) < 20 and time.monotonic() < deadline:
                second.publish(fault())  # the first ones before the subscriber is back
                item = _next_or_none(subscriber)
                if isinstance(item, Gap) and item.to_seq is None:
                    assert item == Gap("fault.mic", first.epoch, 2, None)
                elif isinstance(item, Gap):
                    assert item.epoch == second.epoch
                    told += range(item.from_seq, item.from_seq + item.missed)
                elif isinstance(item, FaultEvent):
                    assert item.epoch == second.epoch
                    told.append(item.seq)
    assert told[:20] == list(range(1, 21))


def test_silence_raises_and_iterating_may_go_on(endpoint: str) -> None:
    with Publisher([endpoint]) as publisher, Subscriber(endpoint, timeout_s=0.1) as subscriber:
        until(lambda: publisher.subscriptions == 1)
        with pytest.raises(TimeoutError, match=r"events\.sock within 0\.1 s"):
            next(subscriber)
        publisher.publish(fault())
        until(lambda: publisher.last_seq() == {"fault.mic": 1})
        until(lambda: isinstance(_next_or_none(subscriber), FaultEvent))


def _next_or_none(subscriber: Subscriber) -> Received | None:
    try:
        return next(subscriber)
    except TimeoutError:
        return None


def test_no_daemon_is_no_error_until_the_timeout(endpoint: str) -> None:
    with Subscriber(endpoint, timeout_s=0.1) as subscriber, pytest.raises(TimeoutError):
        next(subscriber)
    subscriber.close()


def test_one_that_was_forgotten_is_collected_without_a_hang() -> None:
    code = """
import gc
from edgeser.events.subscribe.subscriber import Subscriber
for _ in range(3):
    forgotten = Subscriber("tcp://127.0.0.1:1")
    forgotten.itself = forgotten
    del forgotten
    gc.collect()
abandoned = Subscriber("tcp://127.0.0.1:1")
"""
    process = python(code)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_a_malformed_endpoint_is_refused() -> None:
    with pytest.raises(UserError):
        Subscriber("127.0.0.1:5555")
    with pytest.raises(TypeError):
        Subscriber("tcp://127.0.0.1:5555", "emotion.")


@pytest.mark.parametrize(
    ("wrong", "kind", "told"),
    [
        *(({"topics": topics}, TypeError, "topics is a list of") for topics in (None, 5, [b"x"])),
        *(
            ({"timeout_s": seconds}, ValueError, "timeout_s is None or 0 to 1e9 seconds, not ")
            for seconds in ("1", float("nan"), float("inf"), -1)
        ),
        *(
            ({"receive_hwm": events}, ValueError, "receive_hwm is a whole number of events")
            for events in (-5, 1.5, "50", 2**31)
        ),
        ({"key": 5}, TypeError, "key is a text, not 5"),
        ({"server_key": 5}, TypeError, "server_key is a text, not 5"),
    ],
)
def test_an_argument_that_is_wrong_is_named_at_once(
    endpoint: str, wrong: dict[str, Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        Subscriber(endpoint, **wrong)


def test_topics_may_come_from_a_generator(endpoint: str) -> None:
    with (
        Publisher([endpoint]) as publisher,
        Subscriber(endpoint, (topic for topic in ["fault."]), PATIENCE_S) as subscriber,
    ):
        until(lambda: publisher.subscriptions == 2)  # status events come to it as well
        publisher.publish(speech())
        publisher.publish(fault())
        assert isinstance(next(subscriber), FaultEvent)


@pytest.mark.parametrize("since", [None, "all"])
def test_a_closed_subscriber_says_that_it_is_closed(endpoint: str, since: str | None) -> None:
    subscriber = Subscriber(endpoint, since=since)
    subscriber.close()
    with pytest.raises(ValueError, match="this subscriber is closed"):
        next(subscriber)
    with pytest.raises(ValueError, match="this subscriber is closed"):
        asyncio.run(subscriber.__anext__())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (0o755, "; join the group '0', which owns {socket}"),
        (0o750, "; join the group '54321', which owns {folder}"),
        (0o700, ", {folder} is its owner's alone; listen as that user"),
    ],
)
def test_a_socket_one_may_not_use_is_told_at_once(endpoint: str, mode: int, told: str) -> None:
    path = Path(endpoint.removeprefix("ipc://"))
    with Publisher([endpoint]):
        os.chown(path.parent, 0, 54321)
        path.parent.chmod(mode)
        done = subprocess.run(
            [sys.executable, "-c", AS_SOMEBODY_ELSE, endpoint],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    told = told.format(socket=path, folder=path.parent).replace("'0'", "'root'")
    assert done.returncode == 2
    assert done.stderr.startswith(f"edgeser: endpoint '{endpoint}': permission denied{told}")
    assert done.stderr.count("\n") == 1


SIGNALLED = """
import signal, sys, threading, time
from edgeser.events.subscribe.subscriber import Subscriber

def end(*_):
    sys.exit(5)

def signal_itself():
    time.sleep(0.5)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

signal.signal(signal.SIGTERM, end)
with Subscriber(sys.argv[1]) as subscriber:
    next(subscriber)
    threading.Thread(target=signal_itself).start()
    next(subscriber)
"""


def test_a_signal_that_does_not_wake_it_ends_it_though_nothing_comes(endpoint: str) -> None:
    """As one that comes just before it waits."""
    with Publisher([endpoint]) as publisher:
        listener = python(SIGNALLED, endpoint)
        until(lambda: publisher.subscriptions > 0)
        publisher.publish(fault())
        try:
            assert listener.wait(PATIENCE_S) == 5
        finally:
            listener.kill()
            listener.communicate()


def test_async_iteration_gives_the_same_and_blocks_nothing(endpoint: str) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    async def listen(publisher: Publisher) -> list[int]:
        ticking = asyncio.create_task(tick())
        got = []
        async with Subscriber(endpoint, timeout_s=PATIENCE_S) as subscriber:
            while publisher.subscriptions == 0 or ticks < 5:
                await asyncio.sleep(0.01)
            for _ in range(300):
                publisher.publish(fault())
            async for item in subscriber:
                assert isinstance(item, FaultEvent)
                got.append(item.seq)
                if item.seq == 300:
                    break
            before = ticks
            with pytest.raises(asyncio.TimeoutError):  # cancelled while it waits
                await asyncio.wait_for(anext(subscriber), 0.2)
            assert ticks > before
            publisher.publish(fault())
            item = await anext(subscriber)
            assert isinstance(item, FaultEvent)
            got.append(item.seq)
        ticking.cancel()
        return got

    with Publisher([endpoint]) as publisher:
        assert asyncio.run(listen(publisher)) == list(range(1, 302))
        until(lambda: publisher.subscriptions == 0)


def test_a_task_that_waits_is_told_when_another_one_closes(endpoint: str) -> None:
    async def listen() -> None:
        subscriber = Subscriber(endpoint)
        waiting = asyncio.ensure_future(anext(subscriber))
        await asyncio.sleep(0.1)
        subscriber.close()
        with pytest.raises(ValueError, match="closed"):
            await waiting

    asyncio.run(listen())


def test_async_silence_raises(endpoint: str) -> None:
    async def listen() -> None:
        async with Subscriber(endpoint, timeout_s=0.1) as subscriber:
            started = time.monotonic()
            with pytest.raises(TimeoutError):
                await anext(subscriber)
            assert time.monotonic() - started >= 0.09

    asyncio.run(listen())
