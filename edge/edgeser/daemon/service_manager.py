"""Notifies the service manager of readiness, status text and signs of life (sd_notify)."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Mapping

from edgeser.errors import one_line


class ServiceManager:
    """Tells the service manager how the daemon is, one datagram a call; does nothing without one.

    ``watchdog_s``: the manager restarts a process that gives no sign of life for this long; None
    where it does not watch.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """``environment``: where ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are."""
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._socket: socket.socket | None = None
        self._last_status = ""
        if self._address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        self.watchdog_s = _watchdog_s(environment) if self._socket else None

    def ready(self) -> None:
        """The daemon has started, or has reloaded its settings."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The daemon is reloading its settings; ``ready`` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon is about to end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """A sign of life for the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, text: str, *, well: bool) -> None:
        """One line for people, and whether all is well for programs; sent when either changes.

        ``systemctl show`` has them as ``StatusText`` and ``StatusErrno``; 0 means that all is well.
        """
        message = f"STATUS={one_line(text)}\nERRNO={0 if well else errno.EIO}"
        if message != self._last_status and self._send(message):
            self._last_status = message

    def close(self) -> None:
        """Release the socket; later calls do nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> bool:
        """Whether the manager got it: it may be gone or busy, which is no reason to fail or wait.

        The next sign of life is sent anyway.
        """
        if self._socket is None or self._address is None:
            return False
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError:
            return False
        return True


def _address(name: str) -> str | None:
    """The address of a socket in the file system, or of an abstract one (``@name``)."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """The watchdog's interval, where it is meant for this process."""
    interval = environment.get("WATCHDOG_USEC", "")
    process = environment.get("WATCHDOG_PID", str(os.getpid()))
    if not interval.isdecimal() or int(interval) == 0 or process != str(os.getpid()):
        return None
    return int(interval) / 1e6
