"""Where network microphones connect: one thread hears them all.

The protocol is a line and then sound: ``TOKEN\\n``, raw 16 kHz mono s16le until the connection
ends. Only a refused client is sent a line. Without tokens, allowed on loopback only, there is one
device, which sends sound from the first byte.
"""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from edgeser.audio.network.address import Address
from edgeser.audio.network.connection import Connection, ConnectionEndedError
from edgeser.audio.network.stream import NetworkStream
from edgeser.audio.network.tokens import digest
from edgeser.audio.source import AudioBlock, AudioFault, SourceError
from edgeser.audio.stdin import sound_file_kind
from edgeser.pcm import FRAME_SAMPLES, SAMPLE_RATE
from edgeser.regular_file import regular

log = logging.getLogger(__name__)

MIN_UNAUTHENTICATED = 32
"""Most connections without a token yet, or the number of devices if that is greater."""

IDLE_TIMEOUT_S = 15.0
"""A connection without data for this long is closed."""

MIN_RECONNECT_S = 1.0
"""A device may connect once in this time, since the journal keeps a fault for each disconnection.
"""

RECEIVE_BUFFER_BYTES = 65_536
"""Kernel buffer of each connection, 2 s of sound (Linux doubles it)."""

UNREAD_S = 0.7
"""A partial block is read after this long, or half the stall time if that is shorter."""

POLL_S = 0.1
LOG_INTERVAL_S = 10.0

Item: TypeAlias = "tuple[NetworkStream, AudioBlock | AudioFault]"


class NetworkServer:
    """Listens from now on, and receives from the devices in ``items``.

    ``names``: of the streams, by the digest of their token. None: one stream called ``name``, and
    no token is required.
    """

    def __init__(
        self,
        address: Address,
        names: Mapping[bytes, str] | None,
        tls: ssl.SSLContext | None,
        stall_s: float,
        name: str = "network",
    ) -> None:
        """Raises SourceError where the address cannot be used."""
        self._tls = tls
        now = time.monotonic()
        known = names if names is not None else {b"": name}
        self._streams = {key: NetworkStream(n, self, stall_s, now) for key, n in known.items()}
        self._asks_token = names is not None
        self._unread_s = min(UNREAD_S, stall_s / 2)
        self._connections: dict[Connection, NetworkStream | None] = {}
        self._paused: dict[Connection, float] = {}
        self._refused, self._complained_at = 0, float("-inf")
        self._selector = selectors.DefaultSelector()
        self._max_unauthenticated = max(MIN_UNAUTHENTICATED, len(known))
        self._listener = _listener(address, self._max_unauthenticated)
        self.address = address._replace(port=self._listener.getsockname()[1])
        log.info("network microphones: %d may connect at %s", len(known), self.address)

    @property
    def streams(self) -> list[NetworkStream]:
        """One for each device."""
        return list(self._streams.values())

    def items(self) -> Iterator[Item]:
        """Yield what the devices send until all streams are closed. For one thread, once."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        try:
            while not all(stream.is_closed for stream in self._streams.values()):
                asked_at = time.monotonic()  # before selecting: what has come is no silence
                for key, _ in self._selector.select(POLL_S):
                    if key.fileobj is self._listener:
                        self._accept()
                    else:
                        yield from self._serve(key.data)
                yield from self._check_timeouts(asked_at)
        finally:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._listener.close()
            self._selector.close()

    def _accept(self) -> None:
        try:
            accepted, where = self._listener.accept()
        except OSError:
            # Perhaps out of descriptors: the connection waits, and this loop must not spin.
            time.sleep(0.01)
            return
        unauthenticated = sum(stream is None for stream in self._connections.values())
        peer = str(where[0])
        if unauthenticated >= self._max_unauthenticated:
            accepted.close()
            self._complain(peer, f"{unauthenticated} connections have not shown a token")
            return
        try:
            connection = Connection(accepted, peer, self._tls, time.monotonic())
        except OSError as error:  # it was reset before TLS could begin
            accepted.close()
            self._complain(peer, f"was cut: {error.strerror or error}")
            return
        self._connections[connection] = None
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def _serve(self, connection: Connection) -> Iterator[Item]:
        if connection not in self._connections:  # taken over since the selector named it
            return
        now = time.monotonic()
        try:
            received = connection.receive()
        except ConnectionEndedError as error:
            yield from self._end(connection, str(error))
            return
        stream = self._connections[connection]
        if not received or connection.is_refused:
            return
        if stream is None:
            greeted = self._greet(connection, received, now)
            if greeted is None:
                return
            stream, received = greeted
        connection.heard_at = now
        for item in stream.arrived(received, now):
            yield stream, item
        frames = stream.frames_at_once
        connection.wait_for(frames * FRAME_SAMPLES * 2 if frames > 1 else 1)
        pause_s = stream.rate_limit.take(len(received) / 2 / SAMPLE_RATE, now)
        if pause_s > 0:
            self._selector.unregister(connection.socket)
            self._paused[connection] = now + pause_s

    def _greet(
        self, connection: Connection, received: bytes, now: float
    ) -> tuple[NetworkStream, bytes] | None:
        """The device's stream and first sound; None if its token is incomplete or refused."""
        token, sound = b"", received
        if self._asks_token:
            try:
                found = connection.line(received)
            except ValueError:
                self._refuse(connection, "the first line must be the token", now)
                return None
            if found is None:
                return None
            token, sound = digest(found[0]), found[1]
        stream = self._streams.get(token)
        if stream is None:
            self._refuse(connection, "unknown token", now)
        elif kind := sound_file_kind(sound):
            self._refuse(connection, f"a {kind} file; send raw 16 kHz mono s16le", now)
        elif stream.is_connected and not stream.is_lost:
            self._refuse(connection, f"'{stream.name}' is connected already", now)
        elif now - stream.connected_at < MIN_RECONNECT_S:
            self._refuse(connection, f"come again in {MIN_RECONNECT_S:g} s", now)
        else:
            self._take_over(stream)
            self._connections[connection] = stream
            connection.until = None
            stream.connected(connection.peer, now)
            return stream, sound
        return None

    def _take_over(self, stream: NetworkStream) -> None:
        """Close the silent connection that a stream still has: its device has connected again."""
        for old in [c for c, of in self._connections.items() if of is stream]:
            self._forget(old)

    def _check_timeouts(self, now: float) -> Iterator[Item]:
        for connection, until in list(self._paused.items()):
            if now >= until:
                del self._paused[connection]
                connection.heard_at = now
                if (stream := self._connections[connection]) is not None:
                    stream.resumed(now)
                self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        for connection, stream in list(self._connections.items()):
            if connection.until is not None and now >= connection.until:
                if not connection.is_refused:
                    self._complain(connection.peer, "showed no token in time")
                self._forget(connection)
            elif stream and connection not in self._paused:
                silent_s = now - connection.heard_at
                if silent_s > self._unread_s and connection.waits_for > 1:
                    connection.wait_for(1)
                    yield from self._serve(connection)
                elif silent_s > IDLE_TIMEOUT_S:
                    yield from self._end(connection, f"no sound for {IDLE_TIMEOUT_S:g} s")
        for stream in self._streams.values():
            for fault in stream.check_timeouts(now):
                yield stream, fault

    def _end(self, connection: Connection, why: str) -> Iterator[Item]:
        stream = self._connections[connection]
        self._forget(connection)
        if stream is None:
            if not connection.is_refused:
                self._complain(connection.peer, why)
            return
        for fault in stream.disconnected(why):
            yield stream, fault

    def _refuse(self, connection: Connection, why: str, now: float) -> None:
        connection.refuse(why, now)
        self._complain(connection.peer, why)

    def _forget(self, connection: Connection) -> None:
        del self._connections[connection]
        if self._paused.pop(connection, None) is None:
            self._selector.unregister(connection.socket)
        connection.close()

    def _complain(self, peer: str, why: str) -> None:
        """Log refused connections: the first at once, further ones as a count."""
        self._refused += 1
        now = time.monotonic()
        if now - self._complained_at >= LOG_INTERVAL_S:
            more = f" (and {self._refused - 1} before)" if self._refused > 1 else ""
            log.warning("network microphones: %s is refused: %s%s", peer, why, more)
            self._refused, self._complained_at = 0, now


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The server's certificate and key. Raises SourceError."""
    for file in (certificate, key):
        try:
            regular(file).open("rb").close()
        except OSError as error:
            raise SourceError(
                f"{file}: {error.strerror}", "name a PEM file that this user may read"
            ) from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "reason", None) or error
        raise SourceError(
            f"certificate {certificate} with key {key}: {why}",
            "name a PEM certificate and its own key, without a password",
        ) from error
    return context


def _listener(address: Address, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        listener.bind((address.host, address.port))
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise SourceError(
            f"{address}: cannot listen there: {error.strerror}", "choose another address or port"
        ) from error
    return listener
