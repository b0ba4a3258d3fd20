"""Waiting for a message on a ZeroMQ socket, in a thread or in an asyncio task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import zmq

if TYPE_CHECKING:
    import asyncio

    import zmq.asyncio

_SIGNALS_EVERY_MS = 1000


def has_message(socket: zmq.Socket[bytes], until: float | None) -> bool:
    """Wait for a message, at most until a monotonic time; returns whether one came.

    Each wait inside libzmq is short: Python handles a signal that arrives just before it, or in
    another thread, only after it.
    """
    while True:
        left_ms = _left_ms(until)
        wait_ms = _SIGNALS_EVERY_MS if left_ms is None else min(left_ms, _SIGNALS_EVERY_MS)
        if socket.poll(wait_ms):
            return True
        if wait_ms == left_ms:
            return False


class AsyncWaiting:
    """The same for tasks. Each socket waited for gets a shadow, which is closed before it is."""

    def __init__(self) -> None:
        self._shadows: dict[zmq.Socket[bytes], zmq.asyncio.Socket] = {}
        self._waits: set[asyncio.Future[Any]] = set()

    async def has_message(self, socket: zmq.Socket[bytes], until: float | None) -> bool:
        """Like the function; False if ``close`` was called meanwhile."""
        import asyncio

        wait = asyncio.ensure_future(self._shadow(socket).poll(_left_ms(until)))
        self._waits.add(wait)
        try:
            return bool(await wait)
        finally:
            self._waits.discard(wait)

    def forget_all_but(self, kept: zmq.Socket[bytes]) -> None:
        """Close the shadows of all other sockets, before these are closed."""
        for socket in [socket for socket in self._shadows if socket is not kept]:
            self._shadows.pop(socket).close(linger=0)

    def close(self) -> None:
        """End all waits and close all shadows, before the sockets are closed."""
        for wait in self._waits:
            if not wait.done():
                wait.set_result([])  # else the socket would cancel it, like a cancelled task
        for shadow in self._shadows.values():
            shadow.close(linger=0)

    def _shadow(self, socket: zmq.Socket[bytes]) -> zmq.asyncio.Socket:
        if socket not in self._shadows:
            import zmq.asyncio

            self._shadows[socket] = zmq.asyncio.Socket(shadow=socket)
        return self._shadows[socket]


def _left_ms(until: float | None) -> int | None:
    return None if until is None else max(0, round((until - time.monotonic()) * 1000))
