"""The bridge: events of a daemon to JetStream, which stores each once.

A device's cursor moves when the server acknowledges that it has stored an event. An event that is
delivered again within the server's duplicate window, two minutes by default, is not stored again;
later duplicates are dropped by the lake.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from edgeser.bridges.bridge import STEADY_S, Bridge
from edgeser.bridges.feed import Delivery, Feed, Upstream
from edgeser.bridges.nats.client import NatsError
from edgeser.bridges.nats.connection import Connection
from edgeser.bridges.nats.server import Server
from edgeser.bridges.nats.subjects import Device
from edgeser.events.schema import StatusEvent
from edgeser.events.sequence import Gap

log = logging.getLogger(__name__)

FLUSH_S = 2.0
HEADERS_BYTES = 1024
"""Upper bound of the headers (the message id), which count towards the server's limit."""


class NatsBridge(Bridge):
    """Hands events on to a server."""

    _away = NatsError

    def __init__(
        self, upstream: Upstream, server: Server, device: Device, on_turn: Callable[[], None]
    ) -> None:
        super().__init__(on_turn)
        self._upstream = upstream
        self._server = server
        self._device = device

    @property
    def _progress(self) -> int:
        return self.figures.handed_over

    def _connection(self) -> None:
        upstream, figures = self._upstream, self.figures
        connection = Connection(self._server, self._device.inbox)
        try:
            position = upstream.file.load() or upstream.start
            feed = Feed(upstream.subscribe, upstream.file, position)
            try:
                figures.connections += 1
                figures.connected = True
                if not figures.trouble:
                    log.info("%s: connected", self._server)
                began = time.monotonic()
                while not self._stop.is_set():
                    self._turn(connection, feed)
                    if figures.trouble and time.monotonic() - began > STEADY_S:
                        figures.trouble = ""  # not earlier: a full server accepts connections, too
                        log.info("%s: events continue", self._server)
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
        figures.cursor_trouble = self._upstream.file.trouble
        figures.daemon_trouble = feed.trouble
        feed.save_when_due()

    def _acknowledge(self, connection: Connection, feed: Feed, wait_s: float) -> None:
        for ticket in connection.acknowledged(wait_s):
            feed.acknowledge(ticket)
            self.figures.handed_over += 1

    def _deliver(self, connection: Connection, feed: Feed, delivery: Delivery) -> None:
        item, device = delivery.item, self._device
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
                "%s: takes %d bytes at most; larger events are skipped and counted, first %s",
                self._server,
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
