"""Serves the page until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread
import msgspec
import uvicorn
from starlette.types import ASGIApp

from edgeser.errors import UserError
from edgeser.events.schema import decode
from edgeser.page import history
from edgeser.page.app import Page
from edgeser.page.connection import REQUEST_S, Connection, Entrance
from edgeser.page.copy import JournalCopy
from edgeser.page.hub import KEPT_S, Hub
from edgeser.page.listener import Daemon, Listener
from edgeser.page.security import Guard, Listen
from edgeser.regular_file import regular

log = logging.getLogger(__name__)

STALLED_MS = 20_000
"""The kernel cuts a connection over which nothing gets through for this long, whether the browser
stopped reading or the phone left the house."""

MAX_HEADER_BYTES = 16_384
SHUTDOWN_S = 2


@dataclass(frozen=True)
class Tls:
    """Files of a certificate and its key."""

    certificate: Path
    key: Path


def serve(
    daemon: Daemon,
    journal: Path | None,
    listen: Listen,
    token: str | None,
    tls: Tls | None = None,
    *,
    ready: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM.

    ``journal``: its file; without one the past is requested from the daemon. ``ready``: called with
    the URL once it answers. Raises ``UserError`` if it cannot listen or connect.
    """
    endpoint = daemon.check()
    bound = _bind(listen)
    listen = replace(listen, port=bound.getsockname()[1])
    with bound, contextlib.ExitStack() as stack:
        past = journal or stack.enter_context(JournalCopy())
        asyncio.run(_serve(daemon, endpoint, past, Guard(listen, token), tls, bound, ready))


async def _serve(
    daemon: Daemon,
    endpoint: str,
    journal: Path | JournalCopy,
    guard: Guard,
    tls: Tls | None,
    bound: socket.socket,
    ready: Callable[[str], None],
) -> None:
    anyio.to_thread.current_default_thread_limiter().total_tokens = 4
    hub = Hub()
    if isinstance(journal, JournalCopy):
        listener = Listener(daemon, hub, journal.keep)
    else:
        listener = Listener(daemon, hub)
        _recall(hub, journal)
    server = _Server(_config(Page(hub, guard, endpoint, journal).app(), tls), hub)
    listening = asyncio.create_task(listener.run())
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    while not (server.started or serving.done()):
        await asyncio.sleep(0.02)
    if server.started:
        ready(guard.listen.url)
    try:
        await asyncio.wait({listening, serving}, return_when=asyncio.FIRST_COMPLETED)
        if listening.done():  # a bug: it should run until cancelled
            server.should_exit = True
            hub.close()
            await serving
            await listening
        await serving
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


class _Server(uvicorn.Server):
    """Ends the browsers' responses at shutdown: they would not end by themselves."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's own, does not raise the signal again after shutdown, so that later
        clean-up, such as removing the copy of the journal, still runs."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._hub.close()
        await super().shutdown(sockets)


def _config(app: ASGIApp, tls: Tls | None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # its warnings are about anything that strangers send
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=REQUEST_S,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_graceful_shutdown=SHUTDOWN_S,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    try:
        for file in (tls.certificate, tls.key) if tls else ():
            regular(file)
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"--tls-cert, --tls-key: they cannot be used: {error}") from error
    return config


def _bind(listen: Listen) -> socket.socket:
    try:
        bound = socket.create_server(
            (listen.host, listen.port),
            family=socket.AF_INET6 if ":" in listen.host else socket.AF_INET,
            backlog=64,
        )
    except OSError as error:
        code = error.errno or 0  # negative: a name that cannot be resolved
        raise UserError(
            f"--listen {listen.host}:{listen.port}: "
            f"{os.strerror(code) if code > 0 else error.strerror}",
            "choose another port, or an address of this machine, with --listen HOST:PORT",
        ) from error
    # Accepted connections inherit it.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
    return Entrance(bound)


def _recall(hub: Hub, journal: Path) -> None:
    """Give the hub the last two minutes before this process began, but no events in the future,
    which there are if the clock was set back."""
    now = time.time()
    try:
        for entry in history.recent(journal, now - KEPT_S, now):
            with contextlib.suppress(msgspec.MsgspecError):  # of a later version
                decode(entry.payload)
                hub.recall(entry.topic, entry.payload)
    except history.NoJournalError as error:
        log.info("%s", error)
