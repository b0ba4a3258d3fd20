"""A network between clients and a server on this machine, which may be cut.

python network.py PORT: passes TCP connections on to a port of this machine; prints its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import sys

CHUNK_BYTES = 1 << 16


class Network:
    """Passes connections on, in a process of its own.

    While it is cut nothing passes in either direction, and neither side notices: both keep sending.
    """

    def __init__(self, to_port: int) -> None:
        command = [sys.executable, __file__, str(to_port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def cut(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def mend(self) -> None:
        """Let bytes pass again; half of the connections are forgotten, as a router does."""
        self._process.send_signal(signal.SIGUSR1)
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


class _Relay:
    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._writers: set[asyncio.StreamWriter] = set()

    async def run(self) -> None:
        server = await asyncio.start_server(self._join, "127.0.0.1", 0, backlog=1000)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._forget)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    def _forget(self) -> None:
        for writer in self._writers:
            if random.random() < 0.5:
                writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, there_writer}
        self._writers |= both
        try:
            with contextlib.suppress(OSError):
                await asyncio.gather(_pass(reader, there_writer), _pass(there_reader, writer))
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Raises ConnectionError at the end, so that the other direction ends as well."""
    while some := await reader.read(CHUNK_BYTES):
        writer.write(some)
        await writer.drain()
    raise ConnectionAbortedError


if __name__ == "__main__":
    asyncio.run(_Relay(int(sys.argv[1])).run())
