"""What is published arrives, numbered without holes, and publishing never waits."""

from __future__ import annotations

import socket
import threading
import time
from urllib.parse import urlsplit

import msgspec
import pytest
import zmq

from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import EmotionEvent, Event, FaultEvent, StatusEvent, topic_of
from edgeser.events.sequence import Gap

from .helpers import PATIENCE_S, emotion, fault, speech, status, subscribe, take, until


def test_every_topic_from_every_thread_arrives_in_order_without_holes(endpoint: str) -> None:
    threads, each = 8, 150

    def publish_some(thread: int) -> None:
        for n in range(1, each + 1):
            publisher.publish(fault(message=f"{thread} {n}"))
            publisher.publish(emotion(segment=n, stream=f"mic{thread}"))

    with Publisher([endpoint]) as publisher, subscribe(publisher) as subscriber:
        workers = [threading.Thread(target=publish_some, args=(t,)) for t in range(threads)]
        for worker in workers:
            worker.start()
        received = take(subscriber, 2 * threads * each)
        for worker in workers:
            worker.join()
        assert publisher.last_seq()["fault.mic"] == threads * each
    events = [event for event in received if isinstance(event, Event)]
    assert len(events) == len(received)
    by_topic: dict[str, list[Event]] = {}
    for event in events:
        by_topic.setdefault(topic_of(event), []).append(event)
    assert len(by_topic) == threads + 1
    for found in by_topic.values():
        assert [event.seq for event in found] == list(range(1, len(found) + 1))
    faults = [tuple(map(int, e.message.split())) for e in events if isinstance(e, FaultEvent)]
    for thread in range(threads):
        assert [n for t, n in faults if t == thread] == list(range(1, each + 1))


def test_one_publisher_serves_ipc_and_tcp_alike(endpoint: str) -> None:
    with Publisher([endpoint, "tcp://127.0.0.1:*"]) as publisher:
        ipc, tcp = publisher.endpoints
        assert ipc == endpoint
        assert urlsplit(tcp).port
        with subscribe(publisher, endpoint=ipc) as one, subscribe(publisher, endpoint=tcp) as two:
            publisher.publish(fault())
            assert take(one, 1) == take(two, 1)


def test_the_publisher_fills_in_epoch_seq_time_and_latency(endpoint: str) -> None:
    with Publisher([endpoint]) as publisher, subscribe(publisher) as subscriber:
        before, began = time.time(), time.monotonic()
        publisher.publish(emotion(), captured_at=began - 0.5)
        publisher.publish(emotion())
        publisher.publish(emotion(), captured_at=began + 3600)
        live, timeless, ahead = take(subscriber, 3)
        after = time.time()
    assert isinstance(live, EmotionEvent)
    assert isinstance(timeless, EmotionEvent)
    assert isinstance(ahead, EmotionEvent)
    assert live.epoch == timeless.epoch == publisher.epoch
    assert before <= live.time <= timeless.time <= after
    assert live.latency_ms.publish > 0
    assert live.latency_ms.total >= 500 + live.latency_ms.publish
    assert timeless.latency_ms.total == pytest.approx(20 + timeless.latency_ms.publish, abs=0.01)
    assert ahead.latency_ms.total == 0


def test_a_status_names_the_last_number_of_every_topic(endpoint: str) -> None:
    with Publisher([endpoint]) as publisher, subscribe(publisher, "status.") as subscriber:
        for event in (emotion(), emotion(), speech(), status(), status()):
            publisher.publish(event)
        first, second = take(subscriber, 2)
    assert isinstance(first, StatusEvent)
    assert isinstance(second, StatusEvent)
    assert first.last_seq == {"emotion.mic": 2, "speech.mic": 1}
    assert second.last_seq == {"emotion.mic": 2, "speech.mic": 1, "status.mic": 1}


def test_closing_sends_what_waits(endpoint: str) -> None:
    publisher = Publisher([endpoint])
    with subscribe(publisher) as subscriber:
        for _ in range(1000):
            publisher.publish(fault())
        publisher.close()
        publisher.close()
        assert [e.seq for e in take(subscriber, 1000) if isinstance(e, Event)] == [*range(1, 1001)]
    with pytest.raises(RuntimeError, match="closed"):
        publisher.publish(fault())


def test_a_full_queue_costs_partials_and_status_but_no_final_and_leaves_no_hole(
    endpoint: str,
) -> None:
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        go_on.wait()

    publisher = Publisher([endpoint], on_subscribe=hold, queue_size=5)
    with publisher, subscribe(publisher) as subscriber:
        assert held.wait(PATIENCE_S)
        for segment in range(1, 21):
            publisher.publish(emotion(segment, "partial"))
            publisher.publish(status())
            publisher.publish(speech(segment))
            publisher.publish(emotion(segment, "final"))
            publisher.publish(fault())
        go_on.set()
        received = take(subscriber, 60 + 2)
        dropped = publisher.dropped()
        publisher.publish(fault("the last"))
        assert isinstance(take(subscriber, 1)[0], FaultEvent)
    assert not any(isinstance(item, Gap) for item in received)
    finals = [e.segment for e in received if isinstance(e, EmotionEvent) and e.kind == "final"]
    assert finals == list(range(1, 21))
    assert dropped == {"emotion.mic": 19, "status.mic": 19}


def test_a_new_subscriber_can_be_sent_a_status_at_once(endpoint: str) -> None:
    came = threading.Event()
    with Publisher([endpoint], on_subscribe=came.set) as publisher:
        assert not came.wait(0.2)
        for _ in range(3):
            with subscribe(publisher) as subscriber:
                assert came.wait(PATIENCE_S)
                came.clear()
                publisher.publish(status())
                assert isinstance(take(subscriber, 1)[0], StatusEvent)
            until(lambda: publisher.subscriptions == 0)


def test_on_subscribe_may_publish_and_may_fail(endpoint: str) -> None:
    def greet() -> None:
        publisher.publish(status())
        raise ValueError("a defect")

    with Publisher([endpoint], on_subscribe=greet) as publisher:
        for _ in range(2):
            with subscribe(publisher, "status.") as subscriber:
                assert isinstance(take(subscriber, 1)[0], StatusEvent)
            until(lambda: publisher.subscriptions == 0)


def test_an_event_that_cannot_be_encoded_takes_no_number(endpoint: str) -> None:
    with Publisher([endpoint]) as publisher, subscribe(publisher) as subscriber:
        publisher.publish(fault())
        publisher.publish(fault(message=object()))  # type: ignore[arg-type]
        publisher.publish(fault())
        assert [e.seq for e in take(subscriber, 2) if isinstance(e, Event)] == [1, 2]


def test_hostile_subscribers_disturb_nobody() -> None:
    with Publisher(["tcp://127.0.0.1:*"]) as publisher, subscribe(publisher) as subscriber:
        address = publisher.endpoints[0]
        port = urlsplit(address).port
        assert port is not None
        context = zmq.Context()
        talker = context.socket(zmq.XSUB)
        talker.connect(address)
        for message in (b"", b"\x00never asked", b"\x02what", b"x" * 200, b"\x01" + b"y" * 100_000):
            talker.send(message)
        for garbage in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 70_000):
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(garbage)
        for n in range(20):
            publisher.publish(fault(str(n)))
        assert len(take(subscriber, 20)) == 20
        context.destroy(linger=0)


def test_events_are_plain_two_part_json(endpoint: str) -> None:
    context = zmq.Context()
    plain = context.socket(zmq.SUB)
    plain.connect(endpoint)
    plain.subscribe("fault.")
    plain.rcvtimeo = 120_000
    with Publisher([endpoint]) as publisher:
        until(lambda: publisher.subscriptions == 1)
        publisher.publish(fault("ein Gerät fehlt"))
        topic, payload = plain.recv_multipart()
    assert topic == b"fault.mic"
    assert b"\n" not in payload
    event = msgspec.json.decode(payload)
    assert event["v"] == 1
    assert event["type"] == "fault"
    assert event["message"] == "ein Gerät fehlt"
    context.destroy(linger=0)
