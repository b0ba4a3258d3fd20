"""The bridge: events of a daemon to JetStream, which stores each once.

A device's cursor moves when the server acknowledges that it has stored an event. An event that is
delivered again within the server's duplicate window, two minutes by default, is not stored again;
later duplicates are dropped by the lake.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edgeser.bridges.feed import Delivery, Feed
from edgeser.bridges.figures import Figures
from edgeser.bridges.nats.client import NatsError
from edgeser.bridges.nats.connection import Connection
from edgeser.bridges.nats.server import Server
from edgeser.bridges.nats.subjects import Device
from edgeser.bridges.pauses import Pauses
from edgeser.bridges.position_file import PositionFile
from edgeser.events.schema import StatusEvent
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.catch_up import Position
from edgeser.events.subscribe.subscriber import Subscriber

log = logging.getLogger(__name__)

STEADY_S = 10.0
"""A connection that held so long was a good one: the next pause is short again."""

FLUSH_S = 2.0
HEADERS_BYTES = 1024
"""Upper bound of the message id's share of the server's limit."""


@dataclass(frozen=True)
class Plan:
    """What is bridged, from where to where.

    ``subscribe`` makes a subscriber of the feed's topics that begins after a position. ``start``:
    where to begin when ``file`` does not say; None: with what comes next.
    """

    server: Server
    device: Device
    subscribe: Callable[[Position | None], Subscriber]
    file: PositionFile
    start: Position | None = None


class NatsBridge:
    """Hands events on until it is stopped."""

    def __init__(self, plan: Plan, on_turn: Callable[[], None] = lambda: None) -> None:
        """``on_turn`` is called a few times a second at least, also while the bridge waits."""
        self._plan = plan
        self._on_turn = on_turn
        self._stop = threading.Event()
        self.figures = Figures()

    def stop(self) -> None:
        """End soon; from any thread or a signal's handler."""
        self._stop.set()

    def run(self) -> None:
        """Until ``stop``. Raises UserError for what does not get better by waiting."""
        pauses = Pauses()
        while not self._stop.is_set():
            began, before = time.monotonic(), self.figures.handed_over
            try:
                self._connection()
            except NatsError as error:
                self._fail(str(error))
            self.figures.connected = False
            if time.monotonic() - began > STEADY_S or self.figures.handed_over > before:
                pauses.reset()
            until = time.monotonic() + pauses.next_s()
            while time.monotonic() < until and not self._stop.is_set():
                self._on_turn()
                self._stop.wait(0.2)

    def _connection(self) -> None:
        plan, figures = self._plan, self.figures
        connection = Connection(plan.server, plan.device.inbox)
        try:
            feed = Feed(plan.subscribe, plan.file, plan.file.load() or plan.start)
            try:
                figures.connections += 1
                figures.connected = True
                if not figures.trouble:
                    log.info("%s: connected", plan.server)
                began = time.monotonic()
                while not self._stop.is_set():
                    self._turn(connection, feed)
                    if figures.trouble and time.monotonic() - began > STEADY_S:
                        figures.trouble = ""  # only now: a full server lets us in, too
                        log.info("%s: events go on", plan.server)
                    self._on_turn()
                self._flush(connection, feed)
            finally:
                feed.close()
        finally:
            connection.close()

    def _turn(self, connection: Connection, feed: Feed) -> None:
        figures = self.figures
        self._acknowledge(connection, feed, 0.1 if connection.is_full else 0.0)
        if not connection.is_full and (delivery := feed.next()):
            self._deliver(connection, feed, delivery)
        figures.in_flight = feed.in_flight
        figures.cursor_trouble = self._plan.file.trouble
        figures.daemon_trouble = feed.trouble
        feed.save_when_due()

    def _acknowledge(self, connection: Connection, feed: Feed, wait_s: float) -> None:
        for ticket in connection.acknowledged(wait_s):
            feed.acknowledge(ticket)
            self.figures.handed_over += 1

    def _deliver(self, connection: Connection, feed: Feed, delivery: Delivery) -> None:
        item, device = delivery.item, self._plan.device
        if isinstance(item, Gap):
            self.figures.missed += item.missed
            log.warning("the journal no longer holds %d events of %s", item.missed, item.topic)
        elif delivery.ticket is None:
            if isinstance(item, StatusEvent):
                connection.tell(device.subject(item), delivery.payload)
        elif len(delivery.payload) + HEADERS_BYTES > connection.max_payload:
            self._refuse(f"{item.type} {item.seq} of {item.stream}", connection.max_payload)
            feed.acknowledge(delivery.ticket)
        else:
            connection.publish(
                device.subject(item), delivery.payload, device.message_id(item), delivery.ticket
            )

    def _refuse(self, what: str, most: int) -> None:
        if not self.figures.refused:
            log.warning(
                "%s: takes %d bytes at most; larger events are left out and counted, first %s",
                self._plan.server,
                most,
                what,
            )
        self.figures.refused += 1

    def _flush(self, connection: Connection, feed: Feed) -> None:
        deadline = time.monotonic() + FLUSH_S
        try:
            while feed.in_flight and time.monotonic() < deadline:
                self._acknowledge(connection, feed, 0.1)
        except NatsError as error:
            log.warning("%s", error)

    def _fail(self, trouble: str) -> None:
        if trouble != self.figures.trouble:
            log.warning("%s; trying again, at most a minute apart", trouble)
        self.figures.trouble = trouble
