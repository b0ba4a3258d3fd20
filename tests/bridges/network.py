"""A network between clients and a server on this machine, which may be cut."""

from __future__ import annotations

import asyncio
import contextlib
import random

CHUNK_BYTES = 1 << 16


class Network:
    """Passes TCP connections on to a port, inside an event loop.

    While it is cut nothing passes, either way, and neither side is told: both live on, and send.
    """

    def __init__(self, to_port: int, rng: random.Random) -> None:
        self._to_port = to_port
        self._rng = rng
        self._whole = asyncio.Event()
        self._whole.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self) -> None:
        """Listen at ``port``, which is a free one."""
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        """Let bytes pass again; half of the connections are forgotten, as a router does."""
        for writer in self._writers:
            if self._rng.random() < 0.5:
                writer.transport.abort()
        self._whole.set()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, there_writer}
        self._writers |= both
        try:
            with contextlib.suppress(OSError):
                await asyncio.gather(
                    self._pass(reader, there_writer), self._pass(there_reader, writer)
                )
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Raises ConnectionError at the end, so that the other direction ends as well."""
        while some := await reader.read(CHUNK_BYTES):
            await self._whole.wait()
            writer.write(some)
            await writer.drain()
        raise ConnectionAbortedError
