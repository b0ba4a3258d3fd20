"""A subscriber asks again for what it missed when somebody is there to answer, however late."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import zmq

from edgeser.events.journal.journal import JournalPlace
from edgeser.events.journal.store import Entry, JournalStore
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import encode
from edgeser.events.subscribe import replay_client
from edgeser.events.subscribe.subscriber import Received, Subscriber

from .helpers import Start, fault, faults_until, numbers, sent, subscribe, take, until


@pytest.mark.parametrize("leaves_sockets", [True, False])
def test_runs_that_nobody_could_tell_of_for_long_are_told_at_last(
    endpoint: str,
    file: Path,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    leaves_sockets: bool,
) -> None:
    """Each run is heard and then ends, killed or cleanly, before it can be asked."""
    monkeypatch.setattr(replay_client, "PATIENCE_S", 0.01)
    monkeypatch.setattr(replay_client, "ABSENT_S", 120.0)  # a busy machine binds slowly
    path = Path(endpoint.removeprefix("ipc://"))
    first = start()
    with subscribe(first, "fault.") as subscriber:
        sent(first, 1)
        items: list[Received] = take(subscriber, 1)
        first.close()
        with Publisher([f"{endpoint}.other"], journal=JournalPlace(file)) as unheard:
            sent(unheard, 2)
        short_lived(endpoint, file, subscriber, leaves_sockets)
        subscriber._timeout_s = 0.5
        while not subscriber._catch_up.request:
            with suppress(TimeoutError):
                items.append(next(subscriber))
        for _ in range(3):  # far more questions than it used to ask
            with pytest.raises(TimeoutError):
                next(subscriber)
        assert len(items) == 1
        path.unlink(missing_ok=True)
        last = start()
        sent(last, 1)
        items += faults_until(subscriber, last, lambda items: len(items) >= 4)
    expected = [(first.epoch, 1), (unheard.epoch, 1), (unheard.epoch, 2)]
    assert numbers(items) == [*expected, ("short", 1), (last.epoch, 1)]


def short_lived(endpoint: str, file: Path, subscriber: Subscriber, leaves_sockets: bool) -> None:
    """A daemon that keeps and publishes one event and is gone."""
    event = encode(msgspec.structs.replace(fault(), epoch="short", seq=1))
    store = JournalStore(file, "short")
    store.append([Entry("fault.mic", 1, 0, 1.0, event)])
    store.close()
    beside = socket.socket(socket.AF_UNIX)  # where the past would be asked for: nobody answers
    beside.bind(endpoint.removeprefix("ipc://") + ".replay")
    context = zmq.Context()
    publisher = context.socket(zmq.XPUB)
    publisher.bind(endpoint)
    topics: set[bytes] = set()

    def joined() -> bool:
        subscriber._socket.poll(10)  # libzmq subscribes again while it is waited for
        if publisher.poll(10):
            topics.add(publisher.recv())
        return {b"\x01fault.", b"\x01status."} <= topics

    until(joined)
    publisher.send_multipart([b"fault.mic", event])
    publisher.close(linger=10_000)
    context.term()
    beside.close()
    if not leaves_sockets:
        for path in (endpoint, endpoint + ".replay"):
            Path(path.removeprefix("ipc://")).unlink(missing_ok=True)
