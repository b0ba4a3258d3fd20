"""A thread that owns a socket: for the publisher, the replay and the CURVE authenticator."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

import zmq

log = logging.getLogger(__name__)

PAUSE_MS = 1000
"""Longest sleep: waking up also lets libzmq free the resources of peers that are gone."""


class SocketThread:
    """Takes a turn whenever something arrives, it is woken, or the pause is over.

    ``failure``: the exception that ended it.
    """

    def __init__(
        self,
        name: str,
        socket: zmq.Socket[bytes],
        turn: Callable[[bool], bool],
        *,
        pause_ms: Callable[[], int] = lambda: PAUSE_MS,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Does not start it.

        ``turn``: called in the thread with whether the socket has something to read; returns
        whether to go on. ``pause_ms``: the longest wait before the next turn. ``ended``: called in
        the thread at its end, also if ``turn`` raised.
        """
        self.failure: BaseException | None = None
        self._socket = socket
        self._turn = turn
        self._pause_ms = pause_ms
        self._ended = ended
        self._lock = threading.Lock()
        self._wake: int | None = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_alive(self) -> bool:
        """It takes turns."""
        return self._thread.is_alive() and self.failure is None

    def start(self) -> None:
        """Start; from now on the socket belongs to the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Make it take a turn soon; from any thread, also after the end."""
        with self._lock:
            if self._wake is not None:
                os.eventfd_write(self._wake, 1)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; returns whether it has ended."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        with self._lock:
            if self._wake is not None:
                os.close(self._wake)
                self._wake = None
        return True

    def _run(self) -> None:
        wake = self._wake
        assert wake is not None
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(wake, zmq.POLLIN)
        try:
            going_on = True
            while going_on:
                ready = dict(poller.poll(self._pause_ms()))
                if wake in ready:
                    os.eventfd_read(wake)
                going_on = self._turn(self._socket in ready)
        except BaseException as failure:
            log.exception("the thread '%s' has failed", self._thread.name)
            self.failure = failure
        finally:
            self._ended()
