"""Limits on connections to the page: their number, and how long one may go without a request."""

from __future__ import annotations

import asyncio
import socket
import weakref
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 256
REQUEST_S = 10
"""A connection is closed if it sends no complete request for this long."""


class Entrance(socket.socket):
    """A listening socket that closes new connections while ``MAX_CONNECTIONS`` are open."""

    def __init__(self, bound: socket.socket) -> None:
        """``bound`` is taken over."""
        super().__init__(bound.family, bound.type, bound.proto, bound.detach())
        self._accepted: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises ConnectionAbortedError, which asyncio ignores, if it is one too many."""
        connection, address = super().accept()
        if sum(one.fileno() >= 0 for one in self._accepted) >= MAX_CONNECTIONS:
            connection.close()
            raise ConnectionAbortedError
        self._accepted.add(connection)
        return connection, address


class Connection(H11Protocol):
    """uvicorn's protocol, with a limit: it would wait for ever for the rest of a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def data_received(self, data: bytes) -> None:
        """Unlike in uvicorn's own, only a complete request resets the time-out, not any data."""
        self.conn.receive_data(data)
        self.handle_events()

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._unset_keepalive_if_required()

    def send_400_response(self, msg: str) -> None:
        """Abort if the malformed data follows a request that is still being answered."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()
