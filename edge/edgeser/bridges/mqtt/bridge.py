"""The bridge: events of the daemon, and how its streams are, to one MQTT broker.

The broker keeps a cursor of ours, retained, in the same store as its queues. After a crash it says
how far the broker remembers, which its acknowledgements do not: mosquitto acknowledges what it has
in memory only. So each connection goes on from the broker's cursor. Where it has none, it is new or
has forgotten everything: our own file says where we were half an hour ago.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from edgeser.bridges.figures import Figures
from edgeser.bridges.mqtt.broker import BrokerError, Connection, Message
from edgeser.bridges.mqtt.session import OFFLINE, ONLINE, Plan, Session, Stream
from edgeser.bridges.mqtt.topics import safe_name
from edgeser.bridges.pauses import Pauses
from edgeser.events.subscribe.catch_up import Position

log = logging.getLogger(__name__)

STEADY_S = 10.0
"""A connection that held so long was a good one: the next pause is short again."""

SYNC_S = 10.0
FLUSH_S = 1.0


class _Remembered(NamedTuple):
    """Messages of an earlier session that the broker has retained."""

    cursor: Position | None
    online: set[str]
    """Topics where a stream is said to be there."""


class MqttBridge:
    """Hands events on until it is stopped."""

    def __init__(self, plan: Plan, on_turn: Callable[[], None] = lambda: None) -> None:
        """``on_turn`` is called a few times a second at least, also while the bridge waits."""
        self._plan = plan
        self._on_turn = on_turn
        self._stop = threading.Event()
        self._poison: set[bytes] = set()
        self._cautious = False
        self._streams: dict[str, Stream] = {}
        self.figures = Figures()

    def stop(self) -> None:
        """End soon; from any thread or a signal's handler."""
        self._stop.set()

    def run(self) -> None:
        """Until ``stop``. Raises UserError for what does not get better by waiting."""
        pauses = Pauses()
        while not self._stop.is_set():
            began, known = time.monotonic(), len(self._poison)
            try:
                self._connection()
            except BrokerError as error:
                self._fail(str(error))
            self.figures.connected = False
            if time.monotonic() - began > STEADY_S or len(self._poison) > known:
                pauses.reset()
            until = time.monotonic() + pauses.next_s()
            while time.monotonic() < until and not self._stop.is_set():
                self._on_turn()
                self._stop.wait(0.2)

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
            own = plan.file.load()
            if own and not theirs:
                own = plan.file.earlier()
                log.info("%s: has no cursor of ours and is told the last half hour", plan.broker)
            start = theirs or own or plan.start
            session = Session(plan, connection, start, self.figures, self._streams, online)
        except BaseException:
            self._cautious = connection.is_cut_by_protocol
            connection.close()
            raise
        try:
            self._recover()
            while not self._stop.is_set():
                session.turn()
                self._on_turn()
        finally:
            self._cautious = connection.is_cut_by_protocol
            session.close(flush_s=FLUSH_S if self._stop.is_set() else 0.0)

    def _synchronise(self, connection: Connection) -> _Remembered:
        """How far the broker remembers, and which streams it says are there.

        Brokers send what is retained before what is published after the subscription.
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
            "Going on from our own cursor, which does not know what the broker forgot",
            self._plan.broker,
            topics.availability,
        )
        return _Remembered(found, online)

    def _fail(self, trouble: str) -> None:
        if trouble != self.figures.trouble:
            log.warning("%s; trying again, at most a minute apart", trouble)
        self.figures.trouble = trouble

    def _recover(self) -> None:
        self.figures.connections += 1
        self.figures.connected = True
        self.figures.trouble = ""
        log.info("%s: connected", self._plan.broker)


def _position_in(message: Message) -> Position | None:
    try:
        return msgspec.json.decode(message.payload, type=Position)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        log.warning("topic %s: holds no cursor; going on from our own", message.topic)
        return None
