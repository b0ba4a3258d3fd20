"""Subscribing: events come out in order, each once, with gaps for missing ones."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import zmq

from edgeser.errors import UserError
from edgeser.events.schema import (
    LEVEL_PREFIX,
    STATUS_PREFIX,
    AnyEvent,
    LevelEvent,
    decode,
    topic_of,
)
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.catch_up import CatchUp, Position, WithPayload, parse_since
from edgeser.events.subscribe.connection import Connection
from edgeser.events.subscribe.replay_client import ReplayClient
from edgeser.events.subscribe.waiting import AsyncWaiting, has_message
from edgeser.events.wire.curve import CurveClient
from edgeser.events.wire.endpoint import Endpoint, TcpEndpoint, parse_connect_endpoint
from edgeser.events.wire.keys import read_public, read_secret
from edgeser.events.wire.sockets import HANDSHAKE_MS, client_socket
from edgeser.events.wire.trust import check_permission
from edgeser.paths import default_endpoint

log = logging.getLogger(__name__)

Received: TypeAlias = AnyEvent | Gap

RECEIVE_HWM = 4096
"""Events held while the program is busy; further ones are held by the publisher, then dropped."""

MAX_MESSAGE_BYTES = 1 << 20
"""Longer messages are skipped. libzmq's own limit is not used: after a message above it the
connection is closed and not made again, so that nothing would be received any more."""

SAY_AFTER_S = 3.0
"""A daemon publishes its status every second: if none comes for this long, the log says why."""

_MAX_STEP_S = 1.0
"""Longest time between two calls of ``_patience`` that counts as waiting."""


class Subscriber:
    """Events of a daemon, to iterate over with ``for`` or ``async for``.

    Yields events in order within each topic, each once. What was lost on the way, or during a
    restart of the daemon, is requested again; a ``Gap`` stands where finals, speech events or
    faults may be gone for good. Connects whenever the daemon is there, also after its restart, and
    does not end by itself; if there is none, a warning in the log says so, once. Messages that are
    no events are skipped and counted in ``malformed``.

    Not thread-safe; use one in each thread, and in each process. Close it, or use it in a ``with``
    statement.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        topics: Sequence[str] = ("",),
        timeout_s: float | None = None,
        *,
        since: str | Position | None = None,
        key: str | Path | None = None,
        server_key: str | None = None,
        receive_hwm: int = RECEIVE_HWM,
    ) -> None:
        """Start to connect.

        ``endpoint``: where the daemon publishes; by default the daemon's default.
        ``topics``: prefixes of topics, e.g. ``emotion.`` or ``speech.mic``; by default all.
        ``timeout_s``: the iteration raises ``TimeoutError`` when no event comes for this long;
        iterating may then go on. By default it waits.
        ``since``: begin with past events from the daemon's journal: after a ``position`` of an
        earlier subscriber, or ``EPOCH:SEQ`` (that number in each topic), since a time (``10m``,
        ``2d`` ago, or a date), or ``all``. By default with new events only.
        ``key``, ``server_key``: the file of our secret key and the daemon's public key, for TCP
        that is encrypted.
        ``receive_hwm``: events held while the program is busy; more wait at the daemon, within its
        bounds, and what is dropped there is requested again. 0: no limit.
        Raises ``UserError`` for a malformed endpoint or position, wrong keys, or a socket that may
        not be used, ``TypeError`` for values of another type, ``ValueError`` for numbers out of
        range; the iteration ``ValueError`` after ``close``, and in a forked process.
        """
        for name, value, type_ in (
            ("endpoint", endpoint, str),
            ("since", since, (str, Position)),
            ("key", key, (str, Path)),
            ("server_key", server_key, str),
        ):
            if value is not None and not isinstance(value, type_):
                raise TypeError(f"{name} is a text, not {value!r}")
        topics = _beginnings(topics)
        if timeout_s is not None and not _is_number(timeout_s, Real, 0, 1e9):
            raise ValueError(f"timeout_s is None or 0 to 1e9 seconds, not {timeout_s!r}")
        if not _is_number(receive_hwm, Integral, 0, 2**31 - 1):
            raise ValueError(f"receive_hwm is a whole number of events, not {receive_hwm!r}")
        parsed = parse_connect_endpoint(default_endpoint() if endpoint is None else endpoint)
        check_permission(parsed)
        self.endpoint = str(parsed)
        self.malformed = 0
        self.is_heard = False
        """Whether anything has come from the daemon, yielded or not."""
        self.payload = b""
        """The event yielded last, as JSON, just as it was received; empty for a ``Gap``."""
        self._timeout_s = timeout_s
        start = parse_since(since) if isinstance(since, str) else since
        self._process = os.getpid()
        self._catch_up = CatchUp(topics, start)
        self._levels_wanted = any(topic.startswith(LEVEL_PREFIX) for topic in topics)
        self._yielded = start
        self._ready: deque[WithPayload] = deque()
        self._held: tuple[AnyEvent, bytes] | None = None
        curve = _curve(parsed, key, server_key)
        self._client = ReplayClient(parsed, curve)
        self._socket = client_socket(zmq.SUB, parsed, curve)
        self._socket.setsockopt(zmq.RCVHWM, int(receive_hwm))
        self._async = AsyncWaiting()
        # A status shows losses that no later event shows.
        has_status = STATUS_PREFIX.startswith(tuple(topics))
        for topic in topics if has_status else (*topics, STATUS_PREFIX):
            self._socket.subscribe(topic)
        self._connection = Connection(self._socket, parsed, encrypted=curve is not None)
        self._patience_s = SAY_AFTER_S if curve is None else SAY_AFTER_S + HANDSHAKE_MS / 1000
        """How much longer to wait before the log says why nothing comes. A daemon that refuses our
        key makes us wait for the length of a handshake."""
        self._looked_at: float | None = None
        self.has_said_why = False
        """Whether a warning in the log has said why nothing comes."""
        self._socket.connect(self.endpoint)

    @property
    def trouble(self) -> UserError | None:
        """Why nothing has been heard so far; None once the connection was made."""
        return None if self.is_heard else self._connection.trouble

    @property
    def position(self) -> Position | None:
        """How far the iteration has come: another subscriber with this ``since`` continues there.

        None before anything has come.
        """
        joined, yielded = self._catch_up.joined, self._yielded
        if joined is None or (yielded and yielded.epoch != joined.epoch):
            return yielded
        return Position(joined.epoch, {**joined.after, **(yielded.after if yielded else {})})

    def __iter__(self) -> Subscriber:
        return self

    def __next__(self) -> Received:
        deadline = self._deadline()
        while awaited := self._awaited(deadline):
            socket, wait_until = awaited
            if has_message(socket, wait_until):
                self._receive(socket)
            elif deadline is not None and time.monotonic() >= deadline:
                raise self._timeout()
        return self._take()

    def __aiter__(self) -> Subscriber:
        return self

    async def __anext__(self) -> Received:
        deadline = self._deadline()
        while awaited := self._awaited(deadline):
            socket, wait_until = awaited
            if await self._async.has_message(socket, wait_until):
                self._receive(socket)
            elif deadline is not None and time.monotonic() >= deadline:
                raise self._timeout()
        return self._take()

    def close(self) -> None:
        """Disconnect. May be called twice."""
        self._connection.close()
        self._async.close()
        self._client.rest()
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
        topic, seq = (
            (item.topic, item.to_seq) if isinstance(item, Gap) else (topic_of(item), item.seq)
        )
        if seq is not None and not self._catch_up.is_stray(item.epoch):
            self._yielded = (self._yielded or Position("")).behind(topic, item.epoch, seq)
        return item

    def _awaited(self, deadline: float | None) -> tuple[zmq.Socket[bytes], float | None] | None:
        """The socket to wait for next, and until when.

        None when something is ready. While past events are requested, live ones wait in libzmq's
        queue, within its bounds. Raises ValueError after ``close``, and in a forked process, where
        libzmq's own thread is missing and every wait would last for ever.
        """
        if self._process != os.getpid():
            raise ValueError("this subscriber is another process's; make one after the fork")
        if self._socket.closed:
            raise ValueError("this subscriber is closed; make another with since=its position")
        until = self._patience(deadline)
        while not self._ready and (request := self._catch_up.request):
            self._client.ask(request)
            if self._client.refusal is not None:
                self._say(f"the daemon does not tell what was missed: {self._client.refusal}")
            if self._client.is_overdue:
                log.warning("endpoint '%s': no answer; still asking", self.endpoint)
            if self._catch_up.must_not_fail or not self._client.is_hopeless:
                again = self._client.wait_until
                return self._client.socket, again if until is None else min(again, until)
            gaps = self._catch_up.give_up(refused=self._client.refusal is not None)
            self._ready.extend((gap, b"") for gap in gaps)
            if self._catch_up.request is None:
                self._rest()
                self._release(ask_first=False)
        return None if self._ready else (self._socket, until)

    def _receive(self, socket: zmq.Socket[bytes]) -> None:
        """Read one message, if one is there, and queue what follows from it."""
        if socket is not self._socket:
            self._receive_answer()
            return
        try:
            parts = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        event = _event_in(parts)
        if isinstance(event, LevelEvent) and not self._levels_wanted:
            return
        if event is None:
            self.malformed += 1
            return
        if not self.is_heard:
            self.is_heard = True
            self._connection.close()
        self._held = (event, parts[1])
        self._release(ask_first=True)

    def _receive_answer(self) -> None:
        answer = self._client.answer()
        if answer is None:
            return
        try:
            self._ready.extend(self._catch_up.answered(answer.parts, answer.end))
        except ValueError:
            self.malformed += 1
            return
        self.malformed += answer.malformed
        if self._catch_up.request is None:
            self._rest()
            self._release(ask_first=True)

    def _say(self, trouble: str) -> None:
        """Raises UserError while nothing else may be delivered; a warning otherwise."""
        if self._catch_up.must_not_fail:
            raise UserError(f"endpoint '{self.endpoint}': {trouble}")
        log.warning("endpoint '%s': %s", self.endpoint, trouble)

    def _rest(self) -> None:
        """Disconnect from the replay server until the next request."""
        self._async.forget_all_but(self._socket)
        self._client.rest()

    def _release(self, *, ask_first: bool) -> None:
        """Deliver the held event, unless something must be requested before it."""
        if self._held is None or (ask_first and self._catch_up.hold(self._held[0])):
            return
        (event, payload), self._held = self._held, None
        deliver, gaps = self._catch_up.take(event)
        self._ready.extend((gap, b"") for gap in gaps)
        if deliver:
            self._ready.append((event, payload))

    def _patience(self, deadline: float | None) -> float | None:
        """Until when to wait. When nothing has come for too long, logs why, once.

        Between two calls at most a second counts: if the process was suspended, libzmq was, too.
        """
        if self.is_heard or self.has_said_why:
            return deadline
        now = time.monotonic()
        if self._looked_at is not None:
            self._patience_s -= min(now - self._looked_at, _MAX_STEP_S)
        self._looked_at = now
        # With a time-out of 0 every call is at its deadline, also the one that should say it.
        is_over = self._timeout_s != 0 and deadline is not None and now >= deadline
        if self._patience_s > 0 or is_over:
            until = now + min(self._patience_s, _MAX_STEP_S)
            return until if deadline is None else min(until, deadline)
        self.has_said_why = True
        if (trouble := self.trouble) is not None:
            log.warning("endpoint '%s': %s", self.endpoint, trouble)
        return deadline

    def _deadline(self) -> float | None:
        return None if self._timeout_s is None else time.monotonic() + self._timeout_s

    def _timeout(self) -> TimeoutError:
        return TimeoutError(f"no event from {self.endpoint} within {self._timeout_s:g} s")


def _beginnings(topics: Sequence[str]) -> tuple[str, ...]:
    """The prefixes of the wanted topics. Raises TypeError unless they are a list of texts."""
    if isinstance(topics, Iterable) and not isinstance(topics, str):
        found = tuple(topics)
        if all(isinstance(topic, str) for topic in found):
            return found
    raise TypeError(f"topics is a list of prefixes, not {topics!r}")


def _is_number(value: Any, kind: type[Any], least: float, most: float) -> bool:
    return isinstance(value, kind) and least <= value <= most


def _event_in(parts: list[bytes]) -> AnyEvent | None:
    """The event in a message; None for any other message."""
    if len(parts) != 2 or len(parts[1]) > MAX_MESSAGE_BYTES:
        return None
    try:
        event = decode(parts[1])
        named = topic_of(event).encode() == parts[0]
    except msgspec.MsgspecError:
        return None
    return event if named and event.epoch and event.seq >= 1 else None


def _curve(
    endpoint: Endpoint, key: str | Path | None, server_key: str | None
) -> CurveClient | None:
    if key is None and server_key is None:
        return None
    if key is None or server_key is None:
        raise UserError(
            "keys: the file of our secret key and the daemon's public key belong together",
            "name both: --key and --server-key (docs/security.md)",
        )
    if not isinstance(endpoint, TcpEndpoint):
        raise UserError(f"endpoint '{endpoint}': keys are for TCP", "leave them out")
    return CurveClient(read_secret(Path(key)), read_public(server_key))
