"""The bridge: events of the daemon, and the state of its streams, to one MQTT broker.

The broker retains our cursor in the same store as its queues. After a crash of the broker the
cursor says how far it remembers, which its acknowledgements do not: mosquitto acknowledges what it
has in memory only. So each connection continues from the broker's cursor. A broker without one is
new or has forgotten everything: we continue from where our own file says we were half an hour ago.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from edgeser.bridges.bridge import Bridge
from edgeser.bridges.mqtt.broker import BrokerError, Connection, Message
from edgeser.bridges.mqtt.session import OFFLINE, ONLINE, Plan, Session, Stream
from edgeser.bridges.mqtt.topics import safe_name
from edgeser.events.subscribe.catch_up import Position

log = logging.getLogger(__name__)

SYNC_S = 10.0
FLUSH_S = 1.0


class _Remembered(NamedTuple):
    """Messages of an earlier session that the broker has retained."""

    cursor: Position | None
    online: set[str]
    """Availability topics of streams that say online."""


class MqttBridge(Bridge):
    """Hands events on to a broker."""

    _away = BrokerError

    def __init__(self, plan: Plan, on_turn: Callable[[], None]) -> None:
        super().__init__(on_turn)
        self._plan = plan
        self._poison: set[bytes] = set()
        self._cautious = False
        self._streams: dict[str, Stream] = {}

    @property
    def _progress(self) -> int:
        """Messages identified so far that make the broker cut a connection."""
        return len(self._poison)

    def _connection(self) -> None:
        plan, topics = self._plan, self._plan.topics
        wanted = [topics.cursor, topics.stream_availabilities, topics.availability]
        if plan.discovery_prefix:
            wanted.append(f"{plan.discovery_prefix}/status")
        will = Message(topics.availability, OFFLINE, True)
        name = f"edgeser-{safe_name(topics.node)}"
        connection = Connection(
            plan.broker, name, wanted, will, poison=self._poison, cautious=self._cautious
        )
        try:
            theirs, online = self._synchronise(connection)
            own = plan.upstream.file.load()
            if own and not theirs:
                own = plan.upstream.file.earlier()
                log.info("%s: has no cursor of ours; the last half hour is sent again", plan.broker)
            start = theirs or own or plan.upstream.start
            session = Session(plan, connection, start, self.figures, self._streams, online)
        except BaseException:
            self._cautious = connection.is_cut_by_protocol
            connection.close()
            raise
        try:
            self.figures.connections += 1
            self.figures.connected = True
            self.figures.trouble = ""
            log.info("%s: connected", plan.broker)
            while not self._stop.is_set():
                session.turn()
                self._on_turn()
        finally:
            self._cautious = connection.is_cut_by_protocol
            session.close(flush_s=FLUSH_S if self._stop.is_set() else 0.0)

    def _synchronise(self, connection: Connection) -> _Remembered:
        """Our cursor at the broker, and the streams that it has as online.

        Brokers send retained messages before those published after the subscription, so our own
        availability message, once it comes back, ends the wait.
        """
        topics = self._plan.topics
        connection.publish(topics.availability, ONLINE, retain=True)
        found: Position | None = None
        online: set[str] = set()
        deadline = time.monotonic() + SYNC_S
        while time.monotonic() < deadline and not self._stop.is_set():
            self._on_turn()
            connection.acknowledged()
            for message in connection.messages():
                if message.topic == topics.cursor:
                    found = _position_in(message)
                elif message.topic == topics.availability:
                    if message.payload == ONLINE and not message.retained:
                        return _Remembered(found, online)
                elif message.payload == ONLINE and topics.is_stream_availability(message.topic):
                    online.add(message.topic)
            connection.wait(0.1)
        log.warning(
            "%s: does not send back what is published at %s; it may not let this user read there. "
            "Continuing from the local cursor, which does not know what the broker forgot",
            self._plan.broker,
            topics.availability,
        )
        return _Remembered(found, online)


def _position_in(message: Message) -> Position | None:
    try:
        return msgspec.json.decode(message.payload, type=Position)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        log.warning("topic %s: holds no cursor; continuing from the local one", message.topic)
        return None
