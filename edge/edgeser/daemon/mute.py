"""Mute: ignores what is heard, for example while a loudspeaker of this device talks.

A Unix socket beside that of the events takes one request per connection, a line of JSON, and
answers with a line: ``{"mute": true, "for_s": 3}`` gets ``{"muted": true, "left_s": 3.0}``. It can
do nothing else. Its mode is 0600: only the daemon's own user and root may use it, unless the
settings admit the group that may listen to events.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgeser.errors import UserError
from edgeser.events.wire.endpoint import IpcEndpoint, parse_endpoint
from edgeser.events.wire.umask import socket_umask

log = logging.getLogger(__name__)

MAX_MUTE_S = 86_400.0

_MAX_BYTES = 256
_PATIENCE_S = 1.0
"""How long a connection may take: they are served one at a time."""

_REST_S = 0.05
"""Pause after each request, which sends a status to every subscriber and may log a line."""

_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What msgspec raises for bytes that are not the expected JSON; ValueError: not even UTF-8."""

_UMASK = {"owner": 0o177, "group": 0o117}


class MuteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``mute``: on or off; None only asks. ``for_s``: seconds after which it is off again."""

    mute: bool | None = None
    for_s: Annotated[float, Meta(gt=0, le=MAX_MUTE_S)] | None = None


class MuteAnswer(msgspec.Struct, frozen=True):
    """``left_s``: seconds until it ends by itself, if it does. ``error``: why nothing changed."""

    muted: bool
    left_s: float | None = None
    error: str | None = None


class Mute:
    """Whether the daemon is muted; any thread may ask and set."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        """``on_change``: called when somebody set it, in the thread that did."""
        self._on_change = on_change
        self._until: float | None = None  # on the monotonic clock; infinity: until it is ended

    @property
    def is_on(self) -> bool:
        until = self._until
        return until is not None and time.monotonic() < until

    @property
    def left_s(self) -> float | None:
        """Seconds until it ends by itself; None when it is off or has no end."""
        until = self._until
        if until is None or until == float("inf"):
            return None
        return max(0.0, until - time.monotonic()) or None

    def set(self, on: bool, for_s: float | None = None) -> None:
        """Mute from now on, for ``for_s`` seconds or until it is ended; or end it."""
        self._until = time.monotonic() + (for_s or float("inf")) if on else None
        self._on_change()


class MuteSocket:
    """Takes requests until closed, in a thread of its own."""

    def __init__(self, path: Path, mute: Mute, by: Literal["owner", "group"]) -> None:
        """``path`` is ours: we hold the lock of the events' socket beside it. Raises UserError.

        ``by``: who may connect. Changes the process's umask for the length of a call.
        """
        self._path = path
        self._mute = mute
        self._closed = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if path.is_socket():
                path.unlink()  # of a daemon that was killed
            with socket_umask(_UMASK[by]):
                self._socket.bind(str(path))
            self._socket.listen(8)
        except OSError as error:
            self._socket.close()
            raise UserError(
                f"{path}: cannot take requests to mute there: {error.strerror or error}",
                "bind the events to an ipc:// path in a folder that the daemon can write to",
            ) from error
        self._thread = threading.Thread(target=self._serve, name="mute", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more requests."""
        self._closed.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._thread.join(2 * _PATIENCE_S)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                if self._closed.is_set():
                    return
                log.exception("a request to mute could not be taken")
                self._closed.wait(_PATIENCE_S)  # out of file descriptors: do not retry at once
                continue
            with connection:
                try:
                    answer = self._answer(_line(connection))
                    connection.sendall(msgspec.json.encode(answer) + b"\n")
                except OSError:
                    pass  # the client has gone
                except Exception:  # must not end the thread
                    log.exception("a request to mute could not be answered")
            self._closed.wait(_REST_S)

    def _answer(self, line: bytes) -> MuteAnswer:
        try:
            request = msgspec.json.decode(line, type=MuteRequest)
        except _UNREADABLE as error:
            return MuteAnswer(self._mute.is_on, self._mute.left_s, str(error))
        if request.mute is not None:
            was_on = self._mute.is_on
            self._mute.set(request.mute, request.for_s)
            if request.mute != was_on:
                log.info("muted" if request.mute else "not muted any more")
        return MuteAnswer(self._mute.is_on, self._mute.left_s)


def mute_path(endpoint: str) -> Path | None:
    """Where the daemon that publishes at ``endpoint`` can be muted; None over TCP: nowhere."""
    parsed = parse_endpoint(endpoint)
    if not isinstance(parsed, IpcEndpoint):
        return None
    return parsed.mute_path


def ask(path: Path, request: MuteRequest) -> MuteAnswer:
    """Ask the daemon whose socket is at ``path``. Raises UserError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(2 * _PATIENCE_S)
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(request) + b"\n")
            return msgspec.json.decode(_line(connection), type=MuteAnswer)
        except PermissionError as error:
            raise UserError(
                f"{path}: permission denied",
                'ask as the daemon\'s user or root, or set events.mute_by = "group" for the daemon',
            ) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise UserError(
                f"{path}: no daemon takes requests to mute there",
                "start it, or give the ipc:// endpoint of its events by --connect",
            ) from error
        except (OSError, *_UNREADABLE) as error:
            raise UserError(f"{path}: no answer: {error}", "look at the daemon's log") from error


def _line(connection: socket.socket) -> bytes:
    """Receive up to the end of a line, in bounded time and length. Raises OSError."""
    deadline = time.monotonic() + _PATIENCE_S
    line = b""
    while not line.endswith(b"\n"):
        connection.settimeout(max(1e-3, deadline - time.monotonic()))
        part = connection.recv(_MAX_BYTES - len(line))
        if not part:
            break
        line += part
    return line
