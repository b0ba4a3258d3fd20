"""Options that all sockets share: bounds, and time-outs for peers that are gone."""

from __future__ import annotations

import zmq

from edgeser.events.wire.curve import CurveClient, use
from edgeser.events.wire.endpoint import Endpoint, TcpEndpoint

LINGER_MS = 500
"""How long a socket that closes waits for peers that are slow to take the last messages."""

HEARTBEAT_MS = 5_000
HEARTBEAT_TIMEOUT_MS = 20_000
"""A peer that is silent for this long, stopped or unplugged, is disconnected."""

HANDSHAKE_MS = 3_000
"""A connection that has not finished the handshake by then is closed, and so is a refused one: its
client then tries again."""

RECONNECT_MS = 100
MAX_RECONNECT_MS = 2_000


def server_socket(
    context: zmq.Context[zmq.Socket[bytes]], kind: int, *, send_hwm: int, max_message_bytes: int
) -> zmq.Socket[bytes]:
    """A socket to be bound. A peer that sends a longer message is disconnected."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.SNDHWM, send_hwm)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.MAXMSGSIZE, max_message_bytes)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    _watch(socket)
    return socket


def client_socket(
    kind: int, endpoint: Endpoint, curve: CurveClient | None = None
) -> zmq.Socket[bytes]:
    """A socket to be connected, with its bounds still to be set. It connects again by itself."""
    # The process's shared context: a separate one that is garbage-collected before its socket would
    # wait for that socket for ever.
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IPV6, isinstance(endpoint, TcpEndpoint) and endpoint.is_ipv6)
    socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, MAX_RECONNECT_MS)
    _watch(socket)
    use(socket, curve)
    return socket


def _watch(socket: zmq.Socket[bytes]) -> None:
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 60)
