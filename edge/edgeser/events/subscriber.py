"""Subscribing: events come out in order, each once, and what is missing is said."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence as Items
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import zmq

from edgeser.errors import UserError
from edgeser.events.endpoint import Endpoint, IpcEndpoint, TcpEndpoint, parse_connect_endpoint
from edgeser.events.schema import AnyEvent, StatusEvent, decode, topic_of
from edgeser.events.sequence import Gap, Sequence
from edgeser.paths import default_endpoint

if TYPE_CHECKING:
    import zmq.asyncio

Received: TypeAlias = AnyEvent | Gap

RECEIVE_HWM = 4096
"""Events held while the program is busy; more are held by the publisher, then dropped."""

MAX_MESSAGE_BYTES = 1 << 20
"""Longer messages are skipped. libzmq's own limit is not set: a connection that breaks it is not
made again, and the subscriber would be deaf for good."""

HEARTBEAT_MS = 5_000
HEARTBEAT_TIMEOUT_MS = 20_000
RECONNECT_MS = 100
MAX_RECONNECT_MS = 2_000


class Subscriber:
    """Events of a daemon, to iterate over with ``for`` or ``async for``.

    Yields events in order, each once, and a ``Gap`` where some of a topic were lost on the way.
    Connects whenever the daemon is there, also after its restart, and does not end by itself.
    Messages that are no events are skipped and counted in ``malformed``.

    Not thread-safe; use one in each thread. Close it, or use it in a ``with`` statement.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        topics: Items[str] = ("",),
        timeout_s: float | None = None,
        *,
        receive_hwm: int = RECEIVE_HWM,
    ) -> None:
        """Start to connect.

        ``endpoint``: where the daemon publishes; by default where it does by default.
        ``topics``: beginnings of topics, e.g. ``emotion.`` or ``speech.mic``; by default all.
        ``timeout_s``: the iteration raises ``TimeoutError`` when no event comes for so long;
        iterating may then go on.
        Raises ``UserError`` for a malformed endpoint or a socket that may not be used.
        """
        parsed = parse_connect_endpoint(default_endpoint() if endpoint is None else endpoint)
        _check_permission(parsed)
        if isinstance(topics, str):
            raise TypeError("topics is a list of beginnings, not one text")
        self.endpoint = str(parsed)
        self.malformed = 0
        self.payload = b""
        """The event yielded last, as JSON, just as it was received; empty for a ``Gap``."""
        self._topics = tuple(topics)
        self._timeout_s = timeout_s
        self._sequence = Sequence()
        self._ready: deque[tuple[Received, bytes]] = deque()
        self._socket = _open_socket(parsed, receive_hwm)
        self._async_socket: zmq.asyncio.Socket | None = None
        for topic in self._topics:
            self._socket.subscribe(topic)
        self._socket.connect(self.endpoint)

    def __iter__(self) -> Subscriber:
        return self

    def __next__(self) -> Received:
        deadline = self._deadline()
        while not self._ready:
            if not self._socket.poll(_remaining_ms(deadline)):
                raise self._timeout()
            self._receive()
        return self._take()

    def __aiter__(self) -> Subscriber:
        return self

    async def __anext__(self) -> Received:
        if self._async_socket is None:
            import zmq.asyncio

            self._async_socket = zmq.asyncio.Socket(shadow=self._socket)
        deadline = self._deadline()
        while not self._ready:
            if not await self._async_socket.poll(_remaining_ms(deadline)):
                raise self._timeout()
            self._receive()
        return self._take()

    def close(self) -> None:
        """Disconnect. May be called twice."""
        if self._async_socket is not None:
            self._async_socket.close(linger=0)
        self._socket.close(linger=0)

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Subscriber:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _take(self) -> Received:
        item, self.payload = self._ready.popleft()
        return item

    def _receive(self) -> None:
        """Read one message, if one is there, and queue what follows from it."""
        try:
            parts = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        event = _event_in(parts)
        if event is None:
            self.malformed += 1
            return
        deliver, gap = self._sequence.accept(topic_of(event), event.epoch, event.seq)
        gaps = [gap] if gap else []
        if isinstance(event, StatusEvent):
            subscribed = {t: n for t, n in event.last_seq.items() if t.startswith(self._topics)}
            gaps += self._sequence.published(event.epoch, subscribed)
        self._ready.extend((gap, b"") for gap in gaps)
        if deliver:
            self._ready.append((event, parts[1]))

    def _deadline(self) -> float | None:
        return None if self._timeout_s is None else time.monotonic() + self._timeout_s

    def _timeout(self) -> TimeoutError:
        return TimeoutError(f"no event from {self.endpoint} within {self._timeout_s:g} s")


def _event_in(parts: list[bytes]) -> AnyEvent | None:
    """The event in a message, or None where it is none."""
    if len(parts) != 2 or len(parts[1]) > MAX_MESSAGE_BYTES:
        return None
    try:
        event = decode(parts[1])
        named = topic_of(event).encode() == parts[0]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return event if named and event.epoch and event.seq >= 1 else None


def _remaining_ms(deadline: float | None) -> int | None:
    return None if deadline is None else max(0, round((deadline - time.monotonic()) * 1000))


def _check_permission(endpoint: Endpoint) -> None:
    """libzmq would try for ever, without a word."""
    if isinstance(endpoint, IpcEndpoint):
        path = endpoint.path
        if path.exists() and not os.access(path, os.W_OK):
            raise UserError(
                f"endpoint '{endpoint}': permission denied; join the group that owns {path}"
            )


def _open_socket(endpoint: Endpoint, receive_hwm: int) -> zmq.Socket[bytes]:
    # The process's own context: one of ours, collected as garbage before its socket, would wait
    # for that socket for ever.
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, receive_hwm)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IPV6, isinstance(endpoint, TcpEndpoint) and endpoint.is_ipv6)
    socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, MAX_RECONNECT_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 60)
    return socket
