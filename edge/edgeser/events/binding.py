"""Taking an address for oneself: the lock, the permissions, and the errors a user can mend."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

import zmq

from edgeser.errors import UserError
from edgeser.events.endpoint import Endpoint, IpcEndpoint, TcpEndpoint, parse_bind_endpoint

_SOCKET_UMASK = 0o117
"""Leaves 0660: the owner and the group may connect, which needs the permission to write."""


class Binding:
    """One address held by one socket, until ``release``.

    ``endpoint`` is the address as subscribers use it (a free TCP port is filled in).
    """

    def __init__(self, socket: zmq.Socket[bytes], text: str) -> None:
        """Bind ``socket``. Raises ``UserError`` where the address is malformed, taken, or refused.

        Changes the process's umask for the length of one call.
        """
        endpoint = parse_bind_endpoint(text)
        self._lock: _Lock | None = None
        self._path: Path | None = None
        if isinstance(endpoint, IpcEndpoint):
            self._path = endpoint.path
            self._lock = _lock_ipc(endpoint)
        try:
            _bind(socket, endpoint)
        except BaseException:
            self.release()
            raise
        self.endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def release(self) -> None:
        """Remove the socket's file and its lock, after the socket was closed."""
        if self._lock is None or self._path is None:
            return
        with suppress(OSError):
            if stat.S_ISSOCK(self._path.lstat().st_mode):
                self._path.unlink()
        self._lock.release()
        self._lock = None


class _Lock:
    """A lock file that names its holder; the kernel drops the lock with the process."""

    def __init__(self, path: Path) -> None:
        """Raises ``BlockingIOError`` where another process holds it, ``OSError`` otherwise."""
        self.path = path
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(path, flags, 0o660)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_current():
                    break
            except BaseException:
                os.close(self._descriptor)
                raise
            os.close(self._descriptor)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def _is_current(self) -> bool:
        """Whether the file locked is still the one in the folder: its last holder removes it."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._descriptor))

    def release(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


def _lock_ipc(endpoint: IpcEndpoint) -> _Lock:
    """Prepare the folder and take the lock beside the socket.

    Without the lock a second daemon would silently take the path over: libzmq removes whatever
    socket it finds there, which is also how one that a dead daemon left goes away.
    """
    path = endpoint.path
    lock_path = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _may_be_a_trap(path.parent):
            raise UserError(
                f"endpoint '{endpoint}': its folder {path.parent} belongs to another user, who "
                "could replace the socket; use a folder of your own"
            )
        if path.exists() and not path.is_socket():
            raise UserError(
                f"endpoint '{endpoint}': {path} exists and is no socket; use another path"
            )
        return _Lock(lock_path)
    except BlockingIOError:
        raise UserError(
            f"endpoint '{endpoint}': already in use by {_holder(lock_path)}; stop it or use --bind"
        ) from None
    except OSError as error:
        raise UserError(
            f"endpoint '{endpoint}': cannot use folder {path.parent}: {error.strerror}; "
            "use --bind with a folder you can write to"
        ) from None


def _may_be_a_trap(folder: Path) -> bool:
    """Whether another user made this folder where everybody can make one, as in /tmp."""
    foreign = folder.stat().st_uid not in (0, os.geteuid())
    return foreign and bool(folder.resolve().parent.stat().st_mode & stat.S_IWOTH)


def _holder(lock_path: Path) -> str:
    try:
        return f"pid {int(lock_path.read_bytes()[:20])}"
    except (OSError, ValueError):
        return "another process"


def _bind(socket: zmq.Socket[bytes], endpoint: Endpoint) -> None:
    umask = os.umask(_SOCKET_UMASK)
    try:
        socket.setsockopt(zmq.IPV6, isinstance(endpoint, TcpEndpoint) and endpoint.is_ipv6)
        socket.bind(str(endpoint))
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            fix = "already in use by another program; stop it or use --bind with another port"
        elif error.errno in (errno.EACCES, errno.EPERM):
            fix = "permission denied; use --bind with an address you may use"
        else:
            fix = f"cannot bind: {error.strerror}; use --bind with another address"
        raise UserError(f"endpoint '{endpoint}': {fix}") from None
    finally:
        os.umask(umask)
