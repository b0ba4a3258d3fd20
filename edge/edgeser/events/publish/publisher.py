"""Publishing: events go in from any thread, and out of one thread that owns the socket."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import zmq

from edgeser.events.journal.journal import Journal, JournalNews, JournalPlace
from edgeser.events.journal.store import Entry
from edgeser.events.publish.numbering import Numbering
from edgeser.events.publish.queue import QUEUE_SIZE, EventQueue, Waiting
from edgeser.events.publish.replay_server import ReplayServer, replay_socket
from edgeser.events.publish.subscriptions import Subscriptions
from edgeser.events.schema import LEVEL_PREFIX, Event, encode, is_kept, topic_of
from edgeser.events.wire.binding import Binding
from edgeser.events.wire.keys import KeyFolder
from edgeser.events.wire.rebinder import Rebinder
from edgeser.events.wire.socket_thread import SocketThread
from edgeser.events.wire.sockets import LINGER_MS, server_socket
from edgeser.events.wire.zap import CurveAuthenticator

log = logging.getLogger(__name__)

SEND_HWM = 4096
"""Events held for each subscriber that falls behind (about 5 MB); further ones are dropped."""

MAX_SUBSCRIPTION_BYTES = 1024
"""Longest message taken from a subscriber; one that sends more is disconnected. The handshake of
CURVE takes about 300."""

CLOSE_S = 2.0
"""How long ``close`` waits for events still to be sent and journaled."""

MIN_GREETING_INTERVAL_S = 0.1
"""New subscribers within this time share one call of ``on_subscribe``."""


class Publisher:
    """Publishes events on all of its endpoints, numbered per topic without gaps.

    Finals, speech events and faults are in the journal before they are sent, and beside each
    endpoint is another one for their replay. ``publish`` may be called from any thread and never
    blocks. ``endpoints`` are the addresses as subscribers use them and ``epoch`` is this
    publisher's random id.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        on_subscribe: Callable[[], None] | None = None,
        on_sent: Callable[[Event], None] | None = None,
        journal: JournalPlace | None = None,
        keys: KeyFolder | None = None,
        queue_size: int = QUEUE_SIZE,
        send_hwm: int = SEND_HWM,
    ) -> None:
        """Bind every endpoint and start the thread.

        Both callbacks run in the publisher's thread, must return quickly and may call ``publish``:
        ``on_subscribe`` when a subscriber comes, so that it can be sent a status at once,
        ``on_sent`` with every event as it was sent. With ``keys`` TCP is encrypted, and only for
        clients whose key is allowed; without, an endpoint that other machines can reach is refused.
        Raises ``UserError`` for an endpoint that is malformed, taken or refused, and for keys that
        are missing or wrong.
        """
        self._keys = keys
        secret = keys.secret() if keys else None
        self._allowed = frozenset(keys.allowed().values()) if keys else frozenset[bytes]()
        self._numbering = Numbering()
        self.epoch = self._numbering.epoch
        self._on_subscribe = on_subscribe
        self._on_sent = on_sent
        self._queue = EventQueue(queue_size)
        self._subscriptions = Subscriptions()
        self._greeting_due = False
        self._greeted_at = 0.0
        self._cut_due = False
        self._context = zmq.Context()
        self._authenticator = CurveAuthenticator(self._context, self._allowed) if keys else None
        self._socket = _open_socket(self._context, send_hwm)
        replay = replay_socket(self._context)
        self._bindings: list[Binding] = []
        try:
            for endpoint in sorted(endpoints, key=_is_tcp):  # encrypted ones last: curve.serve
                self._bindings.append(Binding(self._socket, replay, endpoint, secret))
        except BaseException:
            replay.close(linger=0)
            self._release()
            raise
        self.endpoints = tuple(binding.endpoint for binding in self._bindings)
        self._journal = Journal(journal, self.epoch) if journal else None
        if self._journal:  # subscribers may ask for this run's past from the first event on
            self._journal.await_open()
        self._rebinder = Rebinder(self._socket, [(b, b.endpoint) for b in self._bindings])
        beside = [(b, b.replay_endpoint) for b in self._bindings]
        self._replay = ReplayServer(
            replay, Rebinder(replay, beside), self._journal, self._numbering.live
        )
        self._thread = SocketThread(
            "publisher", self._socket, self._turn, pause_ms=self._pause_ms, ended=self._end
        )
        self._thread.start()

    def publish(self, event: Event, captured_at: float | None = None) -> None:
        """Hand an event over; its ``epoch``, ``seq`` and ``time`` are filled in as it is sent.

        ``captured_at`` is the capture of the window's last sample, in monotonic seconds. From it
        comes an emotion event's ``latency_ms.total``; without it that is the sum of the stages.
        A status event's ``last_seq`` and ``journal`` are filled in too.

        While ``QUEUE_SIZE`` events wait, status and level events and partials are dropped and
        counted; others are not. Raises ``RuntimeError`` when the publisher is closed or its thread
        has stopped: an event that must not be lost is never lost silently.
        """
        if not self._thread.is_alive:
            self._queue.close()
        if self._queue.put(event, captured_at):
            self._thread.wake()

    def dropped(self) -> dict[str, int]:
        """Events dropped so far because too many waited, per topic; none that the journal keeps."""
        return self._queue.dropped()

    def last_seq(self) -> dict[str, int]:
        """The number of the last event sent, per topic."""
        return dict(self._numbering.live().last_seq)

    def journal_news(self) -> list[JournalNews]:
        """Changes of the journal since the last call, to be published as faults."""
        return self._journal.news() if self._journal else []

    @property
    def journal_is_off(self) -> bool:
        """There is a journal, and it cannot be written at present."""
        return self._journal is not None and self._journal.is_off

    def reload_keys(self) -> None:
        """Reload the list of keys that may connect; from any thread.

        If a key was revoked, every encrypted connection is cut, and clients still allowed connect
        again. Raises ``UserError`` for keys that are wrong; the old ones then stay in force. The
        publisher's own key is read at its start only.
        """
        if self._keys is None or self._authenticator is None:
            return
        allowed = frozenset(self._keys.allowed().values())
        self._authenticator.allow(allowed)
        revoked, self._allowed = self._allowed - allowed, allowed
        if revoked:
            self._replay.cut()
            self._cut_due = True
            self._thread.wake()

    @property
    def subscriptions(self) -> int:
        """Subscriptions at present; a subscriber has one for each topic prefix it asked for."""
        return len(self._subscriptions)

    @property
    def failure(self) -> BaseException | None:
        """The exception that ended a thread: no event is sent any more, or no client accepted."""
        if self._thread.failure is None and self._authenticator is not None:
            return self._authenticator.failure
        return self._thread.failure

    @property
    def levels_wanted(self) -> bool:
        """Whether somebody subscribes to level events."""
        return self._subscriptions.wants(LEVEL_PREFIX.encode())

    def close(self, timeout_s: float | None = None) -> None:
        """Send what waits, then release the endpoints. May be called twice.

        ``timeout_s``: how long to wait for that, ``CLOSE_S`` by default.
        """
        timeout_s = CLOSE_S if timeout_s is None else timeout_s
        self._queue.close()
        self._thread.wake()
        if not self._thread.join(timeout_s):
            log.warning("the publisher's thread has not ended within %g s", timeout_s)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # In the publisher's thread

    def _pause_ms(self) -> int:
        pause_ms = self._rebinder.pause_ms
        return min(pause_ms, 100) if self._greeting_due else pause_ms

    def _turn(self, readable: bool) -> bool:
        if self._cut_due:
            self._cut_due = False
            self._rebinder.cut()
        self._rebinder.retry()
        if readable:
            self._greeting_due |= self._subscriptions.read(self._socket)
        self._greet()
        self._send_waiting()
        return not self._queue.is_over

    def _end(self) -> None:
        self._replay.close()
        if self._journal:
            self._journal.close()
        self._release()

    def _send_waiting(self) -> None:
        while waiting := self._queue.take():
            self._send(waiting)

    def _send(self, waiting: Waiting) -> None:
        topic = topic_of(waiting.event)
        seq = self._numbering.next(topic)
        kept = is_kept(waiting.event)
        try:
            if kept and self._journal:
                event = self._complete(waiting, seq)
                after = self._numbering.last_kept(topic)
                self._journal.keep(Entry(topic, seq, after, event.time, encode(event)))
            # The journal may have been slow: the event states the time at which it is sent.
            event = self._complete(waiting, seq)
            payload = encode(event)
        except Exception:  # it uses no number, and so leaves no gap
            log.exception("an event of %s cannot be encoded and is lost", topic)
            return
        self._socket.send_multipart((topic.encode(), payload), zmq.NOBLOCK)
        self._numbering.sent(topic, seq, kept=kept)
        if self._on_sent is not None:
            try:
                self._on_sent(event)
            except Exception:
                log.exception("on_sent has failed")

    def _complete(self, waiting: Waiting, seq: int) -> Event:
        return self._numbering.complete(
            waiting.event,
            seq,
            captured_at=waiting.captured_at,
            handed_over=waiting.handed_over,
            journal=self._journal.ranges if self._journal else None,
        )

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
        if self._authenticator:
            self._authenticator.close()
        self._context.term()
        for binding in self._bindings:
            binding.release()


def _is_tcp(endpoint: str) -> bool:
    return endpoint.startswith("tcp:")


def _open_socket(context: zmq.Context[zmq.Socket[bytes]], send_hwm: int) -> zmq.Socket[bytes]:
    socket = server_socket(
        context, zmq.XPUB, send_hwm=send_hwm, max_message_bytes=MAX_SUBSCRIPTION_BYTES
    )
    socket.setsockopt(zmq.XPUB_VERBOSER, 1)  # every subscription is seen, not just new topics
    return socket
