"""One connection with one subscription: events go to the broker, its acknowledgements come back."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

import msgspec

from edgeser.bridges.feed import SILENT_S, Delivery, Feed, Upstream
from edgeser.bridges.figures import Figures
from edgeser.bridges.mqtt.address import Broker
from edgeser.bridges.mqtt.broker import BrokerError, Connection, Message
from edgeser.bridges.mqtt.discovery import discovery, discovery_topic
from edgeser.bridges.mqtt.state import StateMessage, StreamState
from edgeser.bridges.mqtt.topics import Topics
from edgeser.events.schema import StatusEvent
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.catch_up import Position

log = logging.getLogger(__name__)

STATE_INTERVAL_S = 0.2
"""Least interval between messages with a stream's state."""

CURSOR_INTERVAL_S = 1.0

ONLINE, OFFLINE = b"online", b"offline"


@dataclass(frozen=True)
class Plan:
    """What is bridged, from where to where."""

    upstream: Upstream
    broker: Broker
    topics: Topics
    discovery_prefix: str | None = None


@dataclass
class Stream:
    """The state of a stream, which outlives a connection, and what the broker was sent of it."""

    state: StreamState = field(default_factory=StreamState)
    heard_at: float | None = None
    """Monotonic; None: never but in what was replayed."""
    described: tuple[object, ...] = ()
    published: StateMessage | None = None
    published_at: float = 0.0
    online: bool | None = None

    def tell_again(self) -> None:
        """The receiver may have forgotten what was sent: send it again."""
        self.described, self.published, self.online = (), None, None


class Session:
    """Lasts as long as the connection does."""

    def __init__(
        self,
        plan: Plan,
        connection: Connection,
        position: Position | None,
        figures: Figures,
        streams: dict[str, Stream],
        claims: set[str],
    ) -> None:
        """``streams``: those of earlier sessions, by name; new ones are added.

        ``claims``: topics where the broker still says that a stream is online. A stream that is not
        heard of soon is set offline there: it was renamed, or no daemon runs.
        """
        self._topics = plan.topics
        self._discovery = plan.discovery_prefix
        self._file = plan.upstream.file
        self._figures = figures
        self._connection = connection
        self._feed = Feed(plan.upstream.subscribe, self._file, position)
        self._streams = streams
        for stream in streams.values():
            stream.tell_again()
        self._claims = claims
        self._reported: Position | None = position
        self._reported_at = 0.0
        self._is_live = False
        self._listens_since = time.monotonic()
        """No status could come before: there was no session, or past events were replayed."""

    def turn(self) -> None:
        """Hand over one event, or wait a little. Raises BrokerError."""
        self._acknowledge()
        for message in self._connection.messages():
            self._heed(message)
        if self._connection.is_full:
            self._connection.wait(0.1)
        elif delivery := self._feed.next():
            self._deliver(delivery)
        self._publish_streams()
        self._publish_cursor()
        figures = self._figures
        figures.in_flight = self._feed.in_flight
        figures.cursor_trouble = self._file.trouble
        figures.daemon_trouble = self._feed.trouble

    def close(self, flush_s: float) -> None:
        """Publish that the bridge goes offline, and save the position."""
        try:
            if flush_s:
                deadline = time.monotonic() + flush_s
                while self._feed.in_flight and time.monotonic() < deadline:
                    self._connection.wait(0.05)
                    self._acknowledge()
                self._publish_cursor(now=True)
                for name, stream in self._streams.items():
                    stream.state.mark_offline()
                    if stream.online:
                        self._publish_availability(name, stream)
                self._withdraw_claims()
                self._connection.publish(self._topics.availability, OFFLINE, retain=True)
        except BrokerError as error:
            log.warning("%s", error)
        finally:
            self._connection.close(flush_s)
            self._feed.close()

    def _acknowledge(self) -> None:
        for ticket in self._connection.acknowledged():
            self._feed.acknowledge(ticket)
            self._figures.handed_over += 1
        for refused in self._connection.refused:
            if not self._figures.refused:
                log.warning("the broker refuses a message, which is skipped: %s", refused)
            self._figures.refused += 1
        self._connection.refused.clear()

    def _heed(self, message: Message) -> None:
        """If Home Assistant has started, send it everything again."""
        if message == (f"{self._discovery}/status", ONLINE, message.retained):
            self._connection.publish(self._topics.availability, ONLINE, retain=True)
            for stream in self._streams.values():
                stream.tell_again()

    def _deliver(self, delivery: Delivery) -> None:
        item, now = delivery.item, time.monotonic()
        if isinstance(item, Gap):
            self._figures.missed += item.missed
            log.warning("the journal no longer holds %s", _words(item))
            return
        self._is_live |= isinstance(item, StatusEvent)  # statuses are never replayed
        stream = self._streams.setdefault(item.stream, Stream())
        if self._is_live:
            stream.state.apply(item)
            stream.heard_at = now
        else:
            self._listens_since = now
            stream.state.catch_up(item)
        if delivery.ticket is not None:
            topic = self._topics.event(item)
            self._connection.publish(topic, delivery.payload, ticket=delivery.ticket)

    def _publish_streams(self) -> None:
        now = time.monotonic()
        for name, stream in self._streams.items():
            if stream.heard_at is None:
                continue
            if now - max(stream.heard_at, self._listens_since) > SILENT_S:
                stream.state.mark_offline()
            if self._is_live or not stream.state.is_online:
                self._publish_availability(name, stream)
            if self._is_live:
                self._describe(name, stream)
                self._publish_state(name, stream, now)
        if self._claims and now - self._listens_since > SILENT_S:
            self._withdraw_claims()

    def _withdraw_claims(self) -> None:
        for topic in sorted(self._claims):
            self._connection.publish(topic, OFFLINE, retain=True)
        self._claims.clear()

    def _publish_availability(self, name: str, stream: Stream) -> None:
        if stream.online != stream.state.is_online:
            stream.online = stream.state.is_online
            topic = self._topics.stream_availability(name)
            self._claims.discard(topic)
            self._connection.publish(topic, ONLINE if stream.online else OFFLINE, retain=True)

    def _publish_state(self, name: str, stream: Stream, now: float) -> None:
        message = stream.state.message()
        is_due = now - stream.published_at >= STATE_INTERVAL_S
        if is_due and message != stream.published:
            stream.published, stream.published_at = message, now
            payload = msgspec.json.encode(message)
            self._connection.publish(self._topics.state(name), payload, retain=True)

    def _describe(self, name: str, stream: Stream) -> None:
        state = stream.state
        described = (state.model, state.labels)
        if self._discovery and state.labels and described != stream.described:
            stream.described = described
            topic = discovery_topic(self._discovery, self._topics.node, name)
            payload = msgspec.json.encode(discovery(self._topics, name, state))
            self._connection.publish(topic, payload, retain=True)

    def _publish_cursor(self, *, now: bool = False) -> None:
        position = self._feed.position
        is_due = now or time.monotonic() - self._reported_at >= CURSOR_INTERVAL_S
        if is_due and position is not None and position != self._reported:
            self._reported, self._reported_at = position, time.monotonic()
            payload = msgspec.json.encode(position)
            self._connection.publish(self._topics.cursor, payload, retain=True)


def _words(gap: Gap) -> str:
    last = "its end" if gap.to_seq is None else str(gap.to_seq)
    return f"{gap.topic} of {gap.epoch} from {gap.from_seq} to {last}"
