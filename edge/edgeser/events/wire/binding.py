"""Binding an address: the lock, the permissions, and the errors that a user can fix."""

from __future__ import annotations

import errno
import stat
from contextlib import nullcontext, suppress
from pathlib import Path

import zmq

from edgeser.errors import UserError
from edgeser.events.wire.curve import serve
from edgeser.events.wire.endpoint import (
    Endpoint,
    IpcEndpoint,
    TcpEndpoint,
    parse_bind_endpoint,
    parse_endpoint,
    replay_endpoint,
)
from edgeser.events.wire.lock import FileLock, holder
from edgeser.events.wire.trust import check_trusted
from edgeser.events.wire.umask import socket_umask

_SOCKET_UMASK = 0o117
"""Leaves 0660: the owner and the group may connect, which needs the permission to write."""

FREE_PORT_ATTEMPTS = 32
"""Pairs of ports tried if the port may be any free one."""


class Binding:
    """An endpoint bound until ``release``, by two sockets: events, and beside it their replay.

    ``endpoint`` is the address as subscribers use it (a free TCP port is filled in).
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        replay_socket: zmq.Socket[bytes],
        text: str,
        secret: bytes | None = None,
    ) -> None:
        """Bind the sockets. Raises ``UserError`` if the address is malformed, taken, or refused.

        ``secret``: encrypts TCP with this key; unencrypted endpoints must have been bound before.
        For a Unix socket the process's umask is changed for the length of a call.
        """
        endpoint = parse_bind_endpoint(text, encrypted=secret is not None)
        self._secret = secret if isinstance(endpoint, TcpEndpoint) else None
        self._lock: FileLock | None = None
        self._paths: list[Path] = []
        if isinstance(endpoint, IpcEndpoint):
            beside = replay_endpoint(endpoint)
            assert isinstance(beside, IpcEndpoint)
            self._paths = [endpoint.path, beside.path]
            self._lock = _lock_ipc(endpoint)
        try:
            self.endpoint = self._bind_both(socket, replay_socket, endpoint)
        except BaseException:
            self.release()
            raise

    @property
    def replay_endpoint(self) -> str:
        """The address beside it, for replay."""
        return str(replay_endpoint(parse_endpoint(self.endpoint)))

    @property
    def is_encrypted(self) -> bool:
        """Whether only those whose key is allowed can connect."""
        return self._secret is not None

    def bind_again(self, socket: zmq.Socket[bytes], address: str) -> None:
        """Bind one of the two addresses again after it was unbound. Raises ``UserError``."""
        _bind(socket, parse_endpoint(address))

    def _bind_both(
        self, socket: zmq.Socket[bytes], replay_socket: zmq.Socket[bytes], endpoint: Endpoint
    ) -> str:
        """Bind the sockets side by side; returns the first one's address."""
        if self._secret is not None:
            serve(socket, self._secret)
            serve(replay_socket, self._secret)
        is_free_choice = isinstance(endpoint, TcpEndpoint) and endpoint.port == 0
        for attempts_left in reversed(range(FREE_PORT_ATTEMPTS if is_free_choice else 1)):
            _bind(socket, endpoint)
            bound = socket.getsockopt_string(zmq.LAST_ENDPOINT)
            try:
                _bind(replay_socket, replay_endpoint(parse_endpoint(bound)))
            except UserError:
                if not attempts_left:
                    raise
                socket.unbind(bound)  # the port above it is taken: look for another pair
            else:
                break
        return bound

    def release(self) -> None:
        """Remove the sockets' files and their lock, after the sockets were closed."""
        if self._lock is None:
            return
        for path in self._paths:
            with suppress(OSError):
                if stat.S_ISSOCK(path.lstat().st_mode):
                    path.unlink()
        self._lock.release()
        self._lock = None


def _lock_ipc(endpoint: IpcEndpoint) -> FileLock:
    """Prepare the folder and take the lock beside the socket.

    Without the lock a second daemon would silently take over the path: libzmq removes any socket
    that it finds there, which is also how one left by a dead daemon disappears.
    """
    path = endpoint.path
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_trusted(endpoint)
        if path.exists() and not path.is_socket():
            raise UserError(
                f"endpoint '{endpoint}': {path} exists and is not a socket", "use another path"
            )
        return FileLock(endpoint.lock_path)
    except BlockingIOError:
        raise UserError(
            f"endpoint '{endpoint}': already in use by {holder(endpoint.lock_path)}",
            "stop it or use --bind",
        ) from None
    except OSError as error:
        raise UserError(
            f"endpoint '{endpoint}': cannot use folder {path.parent}: {error.strerror}",
            "use --bind with a folder you can write to",
        ) from None


def _bind(socket: zmq.Socket[bytes], endpoint: Endpoint) -> None:
    try:
        socket.setsockopt(zmq.IPV6, isinstance(endpoint, TcpEndpoint) and endpoint.is_ipv6)
        # Only for Unix sockets: TCP is bound again while the daemon's other threads run.
        is_file = isinstance(endpoint, IpcEndpoint)
        with socket_umask(_SOCKET_UMASK) if is_file else nullcontext():
            socket.bind(str(endpoint))
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            what, fix = (
                "already in use by another program",
                "stop it or use --bind with another port",
            )
        elif error.errno in (errno.EACCES, errno.EPERM):
            what, fix = "permission denied", "use --bind with an address you may use"
        else:
            what, fix = f"cannot bind: {error.strerror}", "use --bind with another address"
        raise UserError(f"endpoint '{endpoint}': {what}", fix) from None
