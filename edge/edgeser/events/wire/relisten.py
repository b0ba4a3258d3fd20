"""Cutting connections: who was let in with a key that is revoked is thrown out."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import zmq

from edgeser.errors import UserError
from edgeser.events.wire.binding import Binding
from edgeser.events.wire.socket_thread import PAUSE_MS

log = logging.getLogger(__name__)

RELISTEN_MS = 50
"""How soon an address that could not be taken again is tried once more."""


class Relisten:
    """Gives up the encrypted addresses of one socket, and takes them again as soon as it can.

    libzmq cannot close a single connection. Those who still may connect do so again by
    themselves, and ask for what they missed. To be used in the socket's thread.
    """

    def __init__(self, socket: zmq.Socket[bytes], bindings: Sequence[tuple[Binding, str]]) -> None:
        """``bindings``: each with the address of this socket."""
        self._socket = socket
        self._bindings = [(b, address) for b, address in bindings if b.is_encrypted]
        self._pending: list[tuple[Binding, str]] = []

    @property
    def pause_ms(self) -> int:
        """How soon ``carry_on`` is to be called: an address may have yet to be taken again."""
        return RELISTEN_MS if self._pending else PAUSE_MS

    def cut(self) -> None:
        """Close every encrypted connection."""
        for binding, address in self._bindings:
            if (binding, address) not in self._pending:
                self._socket.unbind(address)
                self._pending.append((binding, address))
        self.carry_on()

    def carry_on(self) -> None:
        """Take the addresses again that can be taken; libzmq gives them up in its own time."""
        for binding, address in list(self._pending):
            try:
                binding.bind_again(self._socket, address)
            except UserError as error:
                log.debug("%s", error)
            else:
                self._pending.remove((binding, address))
