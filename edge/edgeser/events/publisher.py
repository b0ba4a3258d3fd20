"""Publishing: events go in from any thread, and out of one thread that owns the socket."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import zmq

from edgeser.events.binding import Binding
from edgeser.events.journal import Journal, JournalNews, JournalPlace
from edgeser.events.journal_store import Entry
from edgeser.events.replay import Live
from edgeser.events.replay_server import ReplayServer, replay_socket
from edgeser.events.schema import (
    EmotionEvent,
    Event,
    JournalRange,
    StatusEvent,
    encode,
    topic_of,
)
from edgeser.events.sockets import LINGER_MS, server_socket

log = logging.getLogger(__name__)

QUEUE_SIZE = 512
"""Waiting events above which status events and partials are dropped before they get a number.

The thread sends an event in well under a millisecond and never waits for a subscriber, so this
many wait only where the machine stands still for seconds.
"""

QUEUE_LIMIT = 16_384
"""Waiting events above which even finals, speech events and faults are refused, with an exception.

A stream has a few of these a second at most: this many mean that the thread has not run for an
hour, and about 30 MB. Until then none is ever dropped.
"""

SEND_HWM = 4096
"""Events held for each subscriber that falls behind (about 5 MB); the rest of its are dropped."""

MAX_SUBSCRIPTION_BYTES = 256
"""Longest message taken from a subscriber; one that sends more is disconnected."""

MIN_GREETING_INTERVAL_S = 0.1
"""New subscribers within this time share one call of ``on_subscribe``."""

_SUBSCRIPTIONS_AT_ONCE = 256


class _Waiting(NamedTuple):
    event: Event
    captured_at: float | None
    handed_over: float


class Publisher:
    """Publishes events on all of its endpoints, numbered per topic without holes.

    Finals, speech events and faults are in the journal before they are sent, and beside each
    endpoint is one at which they can be asked for again. ``publish`` may be called from any
    thread and never blocks. ``endpoints`` are the addresses as subscribers use them and ``epoch``
    is this publisher's random id.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        on_subscribe: Callable[[], None] | None = None,
        on_sent: Callable[[Event], None] | None = None,
        journal: JournalPlace | None = None,
        queue_size: int = QUEUE_SIZE,
        send_hwm: int = SEND_HWM,
    ) -> None:
        """Bind every endpoint and start the thread.

        ``on_subscribe`` is called in the publisher's thread when a subscriber came, so that it
        can be sent a status at once, ``on_sent`` there with every event as it was sent; both must
        return quickly and may call ``publish``.
        Raises ``UserError`` for an endpoint that is malformed, taken or reaches other machines.
        """
        self.epoch = secrets.token_hex(8)
        self._on_subscribe = on_subscribe
        self._on_sent = on_sent
        self._queue_size = queue_size
        self._queue: deque[_Waiting] = deque()
        self._lock = threading.Lock()
        self._closing = False
        self._dropped: Counter[str] = Counter()
        self._last_seq: dict[str, int] = {}
        self._last_kept: dict[str, int] = {}
        self._subscriptions = 0
        self._greeting_due = False
        self._greeted_at = 0.0
        self._context = zmq.Context()
        self._socket = _open_socket(self._context, send_hwm)
        replay = replay_socket(self._context)
        self._bindings: list[Binding] = []
        try:
            for endpoint in endpoints:
                self._bindings.append(Binding(self._socket, replay, endpoint))
        except BaseException:
            replay.close(linger=0)
            self._release()
            raise
        self.endpoints = tuple(binding.endpoint for binding in self._bindings)
        self._journal = Journal(journal, self.epoch) if journal else None
        self._replay = ReplayServer(replay, self._journal, self._live)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def publish(self, event: Event, captured_at: float | None = None) -> None:
        """Hand an event over; its ``epoch``, ``seq`` and ``time`` are filled in as it is sent.

        ``captured_at`` is the capture of the window's last sample in Unix seconds. From it comes
        an emotion event's ``latency_ms.total``; without it the total is the sum of the stages.
        A status event's ``last_seq`` and ``journal`` are filled in too.

        While ``QUEUE_SIZE`` events wait, status events and partials are dropped and counted;
        others are not. Raises ``RuntimeError`` when the publisher is closed or its thread has
        stopped: an event that must not be lost is never lost without a word.
        """
        waiting = _Waiting(event, captured_at, time.perf_counter())
        with self._lock:
            if self._closing:
                raise RuntimeError("the publisher is closed")
            length = len(self._queue)
            if length >= self._queue_size and _is_expendable(event):
                self._dropped[topic_of(event)] += 1
                return
            if length >= QUEUE_LIMIT or not self._thread.is_alive():
                raise RuntimeError("the publisher's thread has stopped")
            self._queue.append(waiting)
            if length == 0:
                os.eventfd_write(self._wake, 1)

    def dropped(self) -> dict[str, int]:
        """Status events and partials dropped so far because too many events waited, per topic."""
        with self._lock:
            return dict(self._dropped)

    def last_seq(self) -> dict[str, int]:
        """The number of the last event sent, per topic."""
        with self._lock:
            return dict(self._last_seq)

    def journal_news(self) -> list[JournalNews]:
        """What has become of the journal since the last call, to be published as faults."""
        return self._journal.news() if self._journal else []

    @property
    def malformed_requests(self) -> int:
        """Messages to the replay endpoints so far that were no requests."""
        return self._replay.malformed

    @property
    def subscriptions(self) -> int:
        """Subscriptions at present; a subscriber has one for each topic prefix it asked for."""
        return self._subscriptions

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what waits, then give the endpoints up. May be called twice."""
        with self._lock:
            first = not self._closing
            self._closing = True
        if first:
            os.eventfd_write(self._wake, 1)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("the publisher's thread has not ended within %g s", timeout_s)
        elif first:
            os.close(self._wake)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # In the publisher's thread

    def _run(self) -> None:
        try:
            poller = zmq.Poller()
            poller.register(self._socket, zmq.POLLIN)
            poller.register(self._wake, zmq.POLLIN)
            while True:
                # Waking up now and then also lets libzmq free what departed subscribers held.
                ready = dict(poller.poll(100 if self._greeting_due else 1000))
                if self._wake in ready:
                    os.eventfd_read(self._wake)
                if self._socket in ready:
                    self._read_subscriptions()
                self._greet()
                self._send_waiting()
                with self._lock:
                    if self._closing and not self._queue:
                        return
        except Exception:
            log.exception("the publisher's thread has failed")
        finally:
            self._replay.close()
            if self._journal:
                self._journal.close()
            self._release()

    def _live(self) -> Live:
        with self._lock:
            return Live(self.epoch, dict(self._last_seq), dict(self._last_kept))

    def _send_waiting(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    return
                waiting = self._queue.popleft()
            self._send(waiting)

    def _send(self, waiting: _Waiting) -> None:
        topic = topic_of(waiting.event)
        seq = self._last_seq.get(topic, 0) + 1
        try:
            event = self._complete(waiting, seq)
            payload = encode(event)
        except Exception:  # it takes no number, so that it leaves no hole
            log.exception("an event of %s cannot be encoded and is lost", topic)
            return
        kept = is_kept(event)
        if kept and self._journal:
            after = self._last_kept.get(topic, 0)
            self._journal.keep(Entry(topic, seq, after, event.time, payload))
        self._socket.send_multipart((topic.encode(), payload), zmq.NOBLOCK)
        with self._lock:
            self._last_seq[topic] = seq
            if kept:
                self._last_kept[topic] = seq
        if self._on_sent is not None:
            try:
                self._on_sent(event)
            except Exception:
                log.exception("on_sent has failed")

    def _complete(self, waiting: _Waiting, seq: int) -> Event:
        event = waiting.event
        now = time.time()
        if isinstance(event, EmotionEvent):
            latency = event.latency_ms
            publish = (time.perf_counter() - waiting.handed_over) * 1000
            if waiting.captured_at is None:
                stages = (latency.capture, latency.segment, latency.features, latency.queue)
                total = sum(stages) + latency.inference + publish
            else:
                total = max(0.0, now - waiting.captured_at) * 1000
            latency = msgspec.structs.replace(
                latency, publish=round(publish, 3), total=round(total, 3)
            )
            return msgspec.structs.replace(
                event, epoch=self.epoch, seq=seq, time=now, latency_ms=latency
            )
        if isinstance(event, StatusEvent):
            held = self._journal.ranges() if self._journal else {}
            return msgspec.structs.replace(
                event,
                epoch=self.epoch,
                seq=seq,
                time=now,
                last_seq=dict(self._last_seq),
                journal={topic: JournalRange(*numbers) for topic, numbers in held.items()},
            )
        return msgspec.structs.replace(event, epoch=self.epoch, seq=seq, time=now)

    def _read_subscriptions(self) -> None:
        for _ in range(_SUBSCRIPTIONS_AT_ONCE):
            try:
                message = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if message[:1] == b"\x01":
                self._subscriptions += 1
                self._greeting_due = True
            elif message[:1] == b"\x00":
                self._subscriptions = max(0, self._subscriptions - 1)

    def _greet(self) -> None:
        now = time.monotonic()
        if self._greeting_due and now >= self._greeted_at + MIN_GREETING_INTERVAL_S:
            self._greeting_due = False
            self._greeted_at = now
            if self._on_subscribe is not None:
                try:
                    self._on_subscribe()
                except Exception:
                    log.exception("on_subscribe has failed")

    def _release(self) -> None:
        self._socket.close(linger=LINGER_MS)
        self._context.term()
        for binding in self._bindings:
            binding.release()


def is_kept(event: Event) -> bool:
    """Whether the journal keeps it: finals, speech events and faults."""
    return not _is_expendable(event)


def _is_expendable(event: Event) -> bool:
    """Whether a later event of its kind makes up for it."""
    if isinstance(event, EmotionEvent):
        return event.kind == "partial"
    return isinstance(event, StatusEvent)


def _open_socket(context: zmq.Context[zmq.Socket[bytes]], send_hwm: int) -> zmq.Socket[bytes]:
    socket = server_socket(
        context, zmq.XPUB, send_hwm=send_hwm, max_message_bytes=MAX_SUBSCRIPTION_BYTES
    )
    socket.setsockopt(zmq.XPUB_VERBOSER, 1)  # every subscription is seen, not just new topics
    return socket
