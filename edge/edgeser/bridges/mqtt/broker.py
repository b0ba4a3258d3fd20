"""A single connection to an MQTT broker: a lost one is not reconnected."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from edgeser.bridges.mqtt.address import Broker
from edgeser.errors import UserError

try:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5
    from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode
except ImportError as error:
    raise UserError("paho-mqtt is not installed", "pip install 'edgeser[mqtt]'") from error

MAX_IN_FLIGHT = 100
"""Most messages sent and not yet acknowledged. Mosquitto silently drops what exceeds its
``max_queued_messages`` (1000) for a consumer that is slower than we are."""

MAX_PACKET_BYTES = 1 << 22
"""Longest message that the broker may send us; it drops longer ones: others may publish where we
read. The longest of our own is the cursor of a thousand streams."""

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0
KEEPALIVE_S = 30

_HOPELESS = ("Payload format invalid", "Topic name invalid")
"""Reasons with which a broker would refuse a message again."""

_HEADER_BYTES = 32
"""Upper bound of what a message needs beside topic and payload."""


class BrokerError(UserError):
    """The broker cannot be reached, or refuses us; this may pass."""


class Message(NamedTuple):
    """Something that came from the broker."""

    topic: str
    payload: bytes
    retained: bool


class _Outgoing(NamedTuple):
    topic: str
    payload: bytes
    retain: bool
    ticket: int | None

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.topic.encode() + b"\0" + self.payload).digest()


class _Client(Client):
    """The library's client, which also reports when and why its thread has ended."""

    ended: Callable[[str], None]
    """Called in that thread."""

    def loop_forever(
        self, timeout: float = 1.0, retry_first_connection: bool = False
    ) -> MQTTErrorCode:
        """Run by ``loop_start`` in the thread."""
        why = "the connection is lost"
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except Exception as error:  # the library has no common error for malformed packets
            why = f"it sent what the MQTT library cannot read: {error}"
            return MQTTErrorCode.MQTT_ERR_UNKNOWN
        finally:
            self.ended(why)


class Connection:
    """Publishes to a broker with QoS 1, and tracks what it has acknowledged.

    The network runs in a thread of the library's; all methods are for one other thread.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        subscriptions: Sequence[str] = (),
        will: Message | None = None,
        *,
        poison: set[bytes] | None = None,
        cautious: bool = False,
    ) -> None:
        """Connect and subscribe. Raises BrokerError, UserError if a file of ours is wrong.

        ``poison``: digests of messages that made the broker cut a connection, which are left out.
        ``cautious``: send one message at a time, to identify and add the one that does.
        """
        self.broker = broker
        self._poison = set() if poison is None else poison
        self._cautious = cautious
        self._in_flight: dict[int, _Outgoing] = {}
        self._done: list[int] = []
        self._answers: deque[tuple[int, ReasonCode]] = deque()
        self._messages: deque[Message] = deque()
        self._connected = threading.Event()
        self._changed = threading.Event()
        self._trouble = ""
        self._outbox: deque[_Outgoing] = deque()
        self._at_once = 1 if cautious else MAX_IN_FLIGHT
        self._max_bytes = 268_435_455
        self.refused: list[str] = []
        """Messages that the broker will never take, which count as acknowledged."""
        self._client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTv5,
            reconnect_on_failure=False,
        )
        client = self._client
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages = MAX_IN_FLIGHT  # never reached: the broker may take less
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password())
        if context := broker.tls_context():
            client.tls_set_context(context)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retained)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.ended = self._lost
        self._connect()
        if subscriptions:
            client.subscribe([(topic, 1) for topic in subscriptions])

    @property
    def is_full(self) -> bool:
        """Whether so much is in flight that no more events should be published now."""
        return bool(self._outbox) or len(self._in_flight) >= self._at_once

    @property
    def in_flight(self) -> int:
        """Messages that are not acknowledged."""
        return len(self._in_flight) + len(self._outbox)

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, ticket: int | None = None
    ) -> None:
        """Send a message; its ``ticket`` comes out of ``acknowledged``."""
        message = _Outgoing(topic, payload, retain, ticket)
        too_large = len(topic.encode()) + len(payload) + _HEADER_BYTES > self._max_bytes
        if too_large or message.digest in self._poison:
            self._refuse(message, "too large" if too_large else "the broker cuts the connection")
        else:
            self._outbox.append(message)
            self._send()

    def acknowledged(self) -> list[int]:
        """The tickets of messages that the broker has taken since the last call.

        Raises BrokerError when the connection is lost, or the broker refuses a message that it may
        take later.
        """
        tickets: list[int] = []
        self._changed.clear()
        while self._answers:
            number, reason = self._answers.popleft()
            message = self._in_flight.pop(number, None)
            if message is None:
                continue
            if reason.is_failure and str(reason) in _HOPELESS:
                self._refuse(message, str(reason))
            elif reason.is_failure:
                raise BrokerError(f"{self.broker} refuses messages: {reason}", _fix(str(reason)))
            elif message.ticket is not None:
                tickets.append(message.ticket)
        if self._trouble:
            if self._cautious and self.is_cut_by_protocol:
                self._poison |= {message.digest for message in self._in_flight.values()}
            raise BrokerError(f"{self.broker}: {self._trouble}", _fix(self._trouble))
        self._send()
        tickets += self._done
        self._done.clear()
        return tickets

    @property
    def is_cut_by_protocol(self) -> bool:
        """Whether it was lost to a protocol error.

        Mosquitto 2.0 answers a message above its ``message_size_limit`` so, with a code that is
        not allowed there (Packet too large).
        """
        return "Protocol error" in self._trouble

    def messages(self) -> list[Message]:
        """The messages received since the last call."""
        found = []
        while self._messages:
            found.append(self._messages.popleft())
        return found

    def wait(self, seconds: float) -> None:
        """Wait until something has changed, or the time is over."""
        self._changed.wait(seconds)

    def close(self, flush_s: float = 0.0) -> None:
        """Disconnect, after waiting at most ``flush_s`` until all is acknowledged."""
        deadline = time.monotonic() + flush_s
        try:
            while self.in_flight and time.monotonic() < deadline:
                self.wait(0.05)
                self.acknowledged()
        except BrokerError:
            pass
        self._client.disconnect()
        self._client.loop_stop()

    def _send(self) -> None:
        while self._outbox and len(self._in_flight) < self._at_once:
            message = self._outbox.popleft()
            info = self._client.publish(
                message.topic, message.payload, qos=1, retain=message.retain
            )
            self._in_flight[info.mid] = message

    def _refuse(self, message: _Outgoing, why: str) -> None:
        self.refused.append(f"{message.topic}, {len(message.payload)} bytes: {why}")
        if message.ticket is not None:
            self._done.append(message.ticket)

    def _connect(self) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = MAX_IN_FLIGHT
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        broker = self.broker
        try:
            self._client.connect(
                broker.host, broker.port, KEEPALIVE_S, clean_start=True, properties=properties
            )
        except ssl.SSLCertVerificationError as error:
            raise BrokerError(
                f"{broker}: its certificate is not accepted: {error.verify_message}",
                "name the CA that signed it with --ca, and the host as the certificate does",
            ) from error
        except ssl.SSLError as error:
            raise BrokerError(
                f"{broker}: no TLS: {error.reason or error}", "see the port; it is 8883 usually"
            ) from error
        except PermissionError as error:
            raise BrokerError(
                f"{broker}: {error.strerror}",
                "a service may reach private networks only unless a drop-in sets IPAddressAllow=",
            ) from error
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            if isinstance(error, TimeoutError | socket.timeout):
                why = f"no answer within {CONNECT_TIMEOUT_S:g} s"
            raise BrokerError(f"{broker}: {why}") from error
        self._client.loop_start()
        answered = self._connected.wait(ANSWER_TIMEOUT_S)
        if not answered or self._trouble:
            self._client.disconnect()
            self._client.loop_stop()
            why = self._trouble or f"it does not speak MQTT 5 within {ANSWER_TIMEOUT_S:g} s"
            raise BrokerError(f"{broker}: {why}", _fix(why))

    def _on_connect(
        self,
        _client: Client,
        _data: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._trouble = f"refuses the connection: {reason}"
        self._at_once = min(self._at_once, getattr(properties, "ReceiveMaximum", MAX_IN_FLIGHT))
        self._max_bytes = getattr(properties, "MaximumPacketSize", self._max_bytes)
        self._connected.set()

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._lost(f"the connection is lost: {reason}")

    def _lost(self, why: str) -> None:
        self._trouble = self._trouble or why
        self._connected.set()
        self._changed.set()

    def _on_publish(
        self,
        _client: Client,
        _data: object,
        number: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._answers.append((number, reason))
        self._changed.set()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self._messages.append(Message(message.topic, bytes(message.payload), message.retain))
        self._changed.set()


def _fix(why: str) -> str | None:
    if "Not authorized" in why or "Bad user name or password" in why:
        return "see mqtt.user, mqtt.password_file, and what the broker allows that user"
    if "Unsupported protocol version" in why or "does not speak" in why:
        return "name the port of a broker that speaks MQTT 5"
    if "taken over" in why:
        return "another bridge has this node's name; give each its own by --node"
    if "Quota" in why:
        return "the broker is full"
    return None
