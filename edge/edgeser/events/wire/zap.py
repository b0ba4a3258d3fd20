"""Answers libzmq's requests to authenticate CURVE connections to the daemon (RFC 27, ZAP)."""

from __future__ import annotations

from collections.abc import Iterable

import zmq
from zmq.utils import z85

from edgeser.events.wire.socket_thread import SocketThread

ADDRESS = "inproc://zeromq.zap.01"
DOMAIN = "edgeser"


class CurveAuthenticator:
    """Accepts clients whose key is on the list. One for each context, made before any bind.

    Once it has failed, nobody is accepted.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: Iterable[bytes]) -> None:
        """``keys``: public keys in Z85."""
        self.allow(keys)
        self._closing = False
        self._socket = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(ADDRESS)
        self._thread = SocketThread("doorkeeper", self._socket, self._turn, ended=self._end)
        self._thread.start()

    @property
    def failure(self) -> BaseException | None:
        """The exception that ended its thread."""
        return self._thread.failure

    def allow(self, keys: Iterable[bytes]) -> None:
        """Accept these keys from now on, and no others; connections stay open. From any thread."""
        self._keys = frozenset(z85.decode(key) for key in keys)

    def close(self) -> None:
        """Accept nobody any more."""
        self._closing = True
        self._thread.wake()
        self._thread.join()

    def _turn(self, readable: bool) -> bool:
        if readable:
            self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
        return not self._closing

    def _end(self) -> None:
        self._socket.close(linger=0)

    def _answer(self, frames: list[bytes]) -> list[bytes]:
        version, request, domain, _address, _identity, mechanism, *credentials = frames
        if (
            version == b"1.0"
            and domain == DOMAIN.encode()
            and mechanism == b"CURVE"
            and len(credentials) == 1
            and credentials[0] in self._keys
        ):
            return [b"1.0", request, b"200", b"OK", b"", b""]
        # 300 (temporary): it may be allowed soon. After 400 libzmq's clients never try again.
        return [b"1.0", request, b"300", b"not allowed", b"", b""]
