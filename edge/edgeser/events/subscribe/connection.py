"""Whether a subscriber has reached its daemon, and if not, why, from libzmq's socket monitor."""

from __future__ import annotations

import itertools
import os
import weakref
from contextlib import suppress
from pathlib import Path

import zmq
from zmq.utils.monitor import parse_monitor_message

from edgeser.errors import UserError
from edgeser.events.wire.endpoint import Endpoint, IpcEndpoint
from edgeser.paths import service_folders

# Which of these comes is chance: a daemon cuts a rejected client without saying why.
_REFUSED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_MADE = zmq.EVENT_HANDSHAKE_SUCCEEDED
_numbers = itertools.count()
"""libzmq frees a monitor's address some time after its end, so each is used once."""


class Connection:
    """The first connection of a socket, watched until it is made, refused or closed."""

    def __init__(self, socket: zmq.Socket[bytes], endpoint: Endpoint, *, encrypted: bool) -> None:
        """Watch a socket that is not connected yet. ``encrypted``: whether it has keys."""
        self._endpoint = endpoint
        self._encrypted = encrypted
        self._seen = 0
        self._process = os.getpid()
        address = f"inproc://edgeser-monitor-{next(_numbers)}"
        # A Unix socket refuses nobody after the connect: its permissions do that.
        is_local = isinstance(endpoint, IpcEndpoint)
        socket.monitor(address, _MADE if is_local else _MADE | _REFUSED)
        self._monitor: zmq.Socket[bytes] = socket.context.socket(zmq.PAIR)
        self._monitor.setsockopt(zmq.RCVHWM, 0)  # unlimited, else libzmq's own thread would wait
        self._monitor.setsockopt(zmq.LINGER, 0)
        self._monitor.connect(address)
        self._end = weakref.finalize(self, _end, socket, self._monitor, self._process)
        self._end.atexit = False

    @property
    def trouble(self) -> UserError | None:
        """Why nothing comes; None once the connection was made."""
        self._look()
        if self._seen & _MADE:
            return None
        if not self._seen:
            return _absence(self._endpoint)
        if not self._encrypted:
            fix = "if it is encrypted, name both keys: --key and --server-key (docs/security.md)"
            return UserError(
                "it closed the connection: nothing is behind it, or it is encrypted", fix
            )
        return UserError(
            "it refused our key, --server-key is not its key, or it is not encrypted",
            "see 'edgeser keys list' there",
        )

    def close(self) -> None:
        """Stop watching; ``trouble`` stays what it is. May be called twice."""
        self._look()
        self._end()

    def _look(self) -> None:
        """Read the monitor; its first event decides.

        Does nothing in a forked process, whose sockets are its parent's, or once libzmq has ended.
        """
        if self._monitor.closed or self._process != os.getpid():
            return
        with suppress(zmq.ZMQError):
            message = self._monitor.recv_multipart(zmq.NOBLOCK)
            self._seen = int(parse_monitor_message(message)["event"])
            self._end()


def _end(socket: zmq.Socket[bytes], monitor: zmq.Socket[bytes], process: int) -> None:
    """Stop watching, also for a subscriber that nobody closed.

    The order matters: if the monitor closed first, libzmq's own thread would wait for it for ever,
    and with it every other socket of the process.
    """
    if process == os.getpid():
        with suppress(zmq.ZMQError):
            socket.disable_monitor()
        monitor.close()


def _absence(endpoint: Endpoint) -> UserError:
    """The error when nobody answers at an endpoint, with where else a daemon may be."""
    what = "nothing publishes there yet"
    service = IpcEndpoint(service_folders("").runtime / "events.sock")
    if endpoint == service:
        return UserError(what, "'edgeser doctor --service' says how the service is")
    if isinstance(endpoint, IpcEndpoint) and _may_be_there(service.path):
        return UserError(what, f"the service's events are at --connect {service}")
    return UserError(what, "start a daemon with 'edgeser run', or name its endpoint with --connect")


def _may_be_there(socket: Path) -> bool:
    """Whether a socket is there, or may be where we have no permission to look."""
    try:
        socket.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True
