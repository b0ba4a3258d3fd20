"""Cutting the connections of clients whose keys have been revoked."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import zmq

from edgeser.errors import UserError
from edgeser.events.wire.binding import Binding
from edgeser.events.wire.socket_thread import PAUSE_MS

log = logging.getLogger(__name__)

RETRY_MS = 50
"""Interval of attempts to bind an address again."""


class Rebinder:
    """Unbinds the encrypted addresses of one socket, and binds them again as soon as possible.

    libzmq cannot close a single connection. Clients that are still allowed reconnect by themselves,
    and ask for what they missed. To be used in the socket's thread.
    """

    def __init__(self, socket: zmq.Socket[bytes], bindings: Sequence[tuple[Binding, str]]) -> None:
        """``bindings``: each with the address of this socket."""
        self._socket = socket
        self._bindings = [(b, address) for b, address in bindings if b.is_encrypted]
        self._pending: list[tuple[Binding, str]] = []

    @property
    def pause_ms(self) -> int:
        """How soon to call ``retry``; short while an address is not bound again yet."""
        return RETRY_MS if self._pending else PAUSE_MS

    def cut(self) -> None:
        """Close every encrypted connection."""
        for binding, address in self._bindings:
            if (binding, address) not in self._pending:
                self._socket.unbind(address)
                self._pending.append((binding, address))
        self.retry()

    def retry(self) -> None:
        """Bind again the addresses that are free by now; libzmq releases them with a delay."""
        for binding, address in list(self._pending):
            try:
                binding.bind_again(self._socket, address)
            except UserError as error:
                log.debug("%s", error)
            else:
                self._pending.remove((binding, address))
