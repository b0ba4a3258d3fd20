"""Events to publish, and subscribers to them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import TypeAlias

import msgspec
import zmq

from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import (
    Counters,
    EmotionEvent,
    Event,
    FaultEvent,
    Latency,
    LevelEvent,
    Lost,
    ModelRef,
    Quality,
    Smoothed,
    SpeechEvent,
    StatusEvent,
    decode,
    encode,
)
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.catch_up import Position
from edgeser.events.subscribe.subscriber import Received, Subscriber
from tests.patience import PATIENCE_S, until

Start: TypeAlias = Callable[[], Publisher]

MODEL = ModelRef(name="lightweight-emodb", version="1.0.0", sha256="ab" * 32)


def emotion(
    segment: int = 1, kind: str = "final", stream: str = "mic", label: str = "happy"
) -> EmotionEvent:
    scores = {"angry": 0.05, "happy": 0.05, "neutral": 0.05, "sad": 0.05, label: 0.85}
    return EmotionEvent(
        stream=stream,
        segment=segment,
        kind="final" if kind == "final" else "partial",
        start=1.0,
        end=3.5,
        label=label,
        confidence=0.85,
        scores=scores,
        smoothed=Smoothed(label=label, since=1.0),
        quality=Quality(speech_ratio=0.9, level_dbfs=-24.0, clipped_ratio=0.0, snr_db=30.0),
        latency_ms=Latency(
            capture=10.0, segment=1.0, features=2.0, queue=3.0, inference=4.0, publish=0, total=0
        ),
        model=MODEL,
        lost=Lost(),
    )


def speech(segment: int = 1, end: float | None = None, stream: str = "mic") -> SpeechEvent:
    return SpeechEvent(
        stream=stream,
        state="start" if end is None else "end",
        segment=segment,
        start=1.0,
        end=end,
    )


def fault(message: str = "trouble", stream: str = "mic") -> FaultEvent:
    return FaultEvent(stream=stream, code="audio_lost", message=message, recovered=False)


def status(stream: str = "mic") -> StatusEvent:
    return StatusEvent(
        stream=stream,
        state="listening",
        frame_age_s=0.01,
        uptime_s=10.0,
        position_s=9.5,
        counters=Counters(),
        model=MODEL,
        backend="onnxruntime/CPU",
    )


def level(stream: str = "mic") -> LevelEvent:
    return LevelEvent(stream=stream, speech=False, level_dbfs=-46.2, noise_floor_dbfs=-58.0)


def unstamped(payload: bytes) -> Event:
    """An event without what is measured at its sending, which the journal cannot know."""
    event = msgspec.structs.replace(decode(payload), time=0.0)
    if isinstance(event, EmotionEvent):
        latency = msgspec.structs.replace(event.latency_ms, publish=0.0, total=0.0)
        event = msgspec.structs.replace(event, latency_ms=latency)
    return event


def subscribe(publisher: Publisher, *topics: str, endpoint: str | None = None) -> Subscriber:
    """A subscriber that is connected."""
    before = publisher.subscriptions
    subscriber = Subscriber(endpoint or publisher.endpoints[0], topics or ("",), PATIENCE_S)
    until(lambda: publisher.subscriptions > before)
    return subscriber


def take(subscriber: Iterable[Received], count: int) -> list[Received]:
    return list(islice(subscriber, count))


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process that runs a piece of Python."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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


def faults_until(
    subscriber: Subscriber, publisher: Publisher, condition: Callable[[list[Received]], bool]
) -> list[Received]:
    """What a subscriber gets until the condition holds, while the publisher sends statuses."""
    items: list[Received] = []

    def holds() -> bool:
        publisher.publish(status())
        with suppress(TimeoutError):
            items.extend(subscriber)
        return condition(items)

    until(holds)
    return items


def asker(publisher: Publisher) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    socket.linger = 0
    socket.rcvtimeo = 120_000
    socket.connect(publisher.endpoints[0] + ".replay")
    return socket


def numbered(event: Event, seq: int, epoch: str = "a") -> bytes:
    return encode(msgspec.structs.replace(event, seq=seq, epoch=epoch))
