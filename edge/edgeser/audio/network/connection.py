"""A connection of a device: TLS, a token in its first line, then sound. Nothing here waits."""

from __future__ import annotations

import contextlib
import socket
import ssl

READ_BYTES = 16_384
"""Read at once: half a second of sound, and a whole TLS record: what stays behind in TLS's own
buffer would not make the socket readable again."""

MAX_LINE_BYTES = 512
GREET_WITHIN_S = 5.0
REFUSED_WITHIN_S = 1.0
"""Time for a refused client to read the reason before the connection is closed."""


class ConnectionEndedError(Exception):
    """The other side has closed it, or it broke; the message says which."""


class Connection:
    """Bytes from a device, and a line back.

    ``until``: when it is cut unless it has sent its token by then; None once it has.
    ``waits_for``: how many bytes must have arrived before it is read.
    """

    def __init__(self, accepted: socket.socket, peer: str, tls: ssl.SSLContext | None, now: float):
        accepted.setblocking(False)
        self.socket: socket.socket = accepted
        self._tls: ssl.SSLSocket | None = None
        if tls is not None:
            self.socket = self._tls = tls.wrap_socket(
                accepted, server_side=True, do_handshake_on_connect=False
            )
        self._is_open = tls is None
        self._line = b""
        self.waits_for = 1
        self.peer = peer
        self.until: float | None = now + GREET_WITHIN_S
        self.is_refused = False
        self.heard_at = now

    def receive(self) -> bytes:
        """The bytes that have arrived, if any. Raises ConnectionEndedError."""
        try:
            if not self._is_open and self._tls is not None:
                self._tls.do_handshake()
                self._is_open = True
            return self._received()
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except ssl.SSLError as error:
            what = "was cut" if self._is_open else "TLS failed"
            raise ConnectionEndedError(f"{what}: {error.reason or error}") from None
        except OSError as error:
            raise ConnectionEndedError(f"was cut: {error.strerror or error}") from None

    def _received(self) -> bytes:
        """The available bytes, at least one; with TLS those of all records, not just the next."""
        received = self.socket.recv(READ_BYTES)
        while self._tls is not None and 0 < len(received) < READ_BYTES:
            try:
                more = self._tls.recv(READ_BYTES)
            except OSError:  # nothing is left; a real error comes again in the next call
                break
            if not more:
                break
            received += more
        if not received:
            raise ConnectionEndedError("closed the connection")
        return received

    def wait_for(self, size: int) -> None:
        """Make the socket readable only when so many bytes have come, or it was closed."""
        if size != self.waits_for:
            self.waits_for = size
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)

    def line(self, received: bytes) -> tuple[bytes, bytes] | None:
        """The first line and what came after it; None while it is not complete.

        Raises ValueError for one that is too long.
        """
        self._line += received
        line, end, rest = self._line.partition(b"\n")
        if len(line) > MAX_LINE_BYTES:
            raise ValueError
        if not end:
            return None
        self._line = b""
        return line.rstrip(b"\r"), rest

    def refuse(self, why: str, now: float) -> None:
        """Send the reason, and leave time to read it: what the client still sends is thrown away.

        An accepted client gets no answer: if it closed without having read that, it would reset the
        connection, and lose the end of its sound.
        """
        with contextlib.suppress(OSError):
            self.socket.send(f"refused: {why}\n".encode())
        self.is_refused = True
        self.until = now + REFUSED_WITHIN_S

    def close(self) -> None:
        """Cut it."""
        self.socket.close()
