"""Server-sent events: one response for each browser, as long as it stays."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

import msgspec
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from edgeser.page.hub import Hub

FRAME_S = 0.1
"""A browser is told at most so often; what came meanwhile goes together."""

BEAT_S = 10.0
"""After so long without news a beat shows that the connection stands. It is a message, not a
comment: of a comment the page's script would never know. ``static/live.js`` waits for two."""

RETRY_MS = 1000
MAX_BROWSERS = 64

PACKED = (5, zlib.DEFLATED, 16 + 12, 5)
"""Level, method, gzip with a window of 4 kB, memory of 32 kB for each browser: events resemble the
ones before. Two minutes of speech of one stream are 200 kB, and packed 20."""

_encode = msgspec.json.Encoder().encode


class LiveResponse:
    """An ASGI application that tells what a hub holds, and then what comes."""

    def __init__(
        self, hub: Hub, hello: dict[str, object], position: str | None, *, beat_s: float = BEAT_S
    ) -> None:
        """``hello``: told first. ``position``: where the browser was when it was told last."""
        self._hub = hub
        self._hello = hello
        self._number = hub.number_of(position)
        self._beat_s = beat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until either side goes."""
        accepted = Headers(scope=scope).get("accept-encoding", "")
        pack = zlib.compressobj(*PACKED) if "gzip" in accepted else None
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # nginx is to pass it on at once
            *([(b"content-encoding", b"gzip")] if pack else []),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sending = asyncio.create_task(self._send(send, pack))
        leaving = asyncio.create_task(_left(receive))
        self._hub.enter()
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave()
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, send: Send, pack: zlib._Compress | None) -> None:
        async for body in self._bodies():
            if pack:
                body = pack.compress(body) + pack.flush(zlib.Z_SYNC_FLUSH)
            await send({"type": "http.response.body", "body": body, "more_body": True})
        end = pack.flush() if pack else b""
        await send({"type": "http.response.body", "body": end, "more_body": False})

    async def _bodies(self) -> AsyncIterator[bytes]:
        hub = self._hub
        number = self._number
        missed = None if number is None else hub.behind(number)
        yield b"retry: %d\n\n" % RETRY_MS
        if number is None or missed is None:
            number = hub.last
            now = {"link": hub.link, "time": hub.clock()}
            hello = _encode({**self._hello, "type": "hello", **now})
            yield b"data: %s\n\n%s" % (hello, hub.snapshot())
            # The latest of what passes has numbers before others: say where we are.
            yield b'id: %s\ndata: {"type":"ready"}\n\n' % hub.position().encode()
        elif missed:
            number = hub.last
            yield missed
        while not hub.closed:
            if not await hub.news(number, self._beat_s):
                yield b'data: {"type":"beat"}\n\n'
                continue
            await asyncio.sleep(FRAME_S)
            missed = hub.behind(number)
            if missed is None:  # it read too slowly; it is told anew when it comes again
                return
            number = hub.last
            if missed:
                yield missed


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
