"""Encryption of TCP: CURVE on a socket, for the daemon and for a subscriber."""

from __future__ import annotations

from typing import NamedTuple

import zmq

from edgeser.events.wire.zap import DOMAIN


class CurveClient(NamedTuple):
    """How a subscriber authenticates itself and the daemon. Keys in Z85."""

    secret: bytes
    server_public: bytes


def serve(socket: zmq.Socket[bytes], secret: bytes) -> None:
    """From its next bind on this socket takes only encrypted connections; there is no way back.

    Without a ``CurveAuthenticator`` it accepts none.
    """
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
    socket.setsockopt_string(zmq.ZAP_DOMAIN, DOMAIN)
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def use(socket: zmq.Socket[bytes], curve: CurveClient | None) -> None:
    """The next connect of this socket is encrypted; with None it is plain."""
    if curve is not None:
        socket.setsockopt(zmq.CURVE_SERVERKEY, curve.server_public)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, zmq.curve_public(curve.secret))
        socket.setsockopt(zmq.CURVE_SECRETKEY, curve.secret)
