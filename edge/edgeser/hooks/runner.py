"""Runs the program of a hook: one at a time, in the order of events, with a time limit."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from edgeser.errors import one_line
from edgeser.events.schema import Event
from edgeser.hooks.trigger import arguments

log = logging.getLogger(__name__)

MAX_WAITING = 100
"""Events that wait for the program; when more come, the oldest is dropped."""

_STOP_S = 2.0
"""How long a program may take to end after SIGTERM."""


class Runner:
    """A thread that runs the command for one event after the other.

    The event is the program's standard input, as JSON. A program that takes longer than
    ``timeout_s``, fails or cannot be started is logged, and the next event goes on.
    """

    def __init__(self, command: Sequence[str], timeout_s: float) -> None:
        self._command = list(command)
        self._timeout_s = timeout_s
        self._waiting: deque[tuple[Event, bytes]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._process: subprocess.Popen[bytes] | None = None
        self.left: int | None = None
        """Events that waited when ``break_off`` was called; None if it was not."""
        self._thread = threading.Thread(target=self._run, name="hook")
        self._thread.start()

    def put(self, event: Event, payload: bytes) -> None:
        """Run the command for this event after those that wait. ``payload``: its JSON."""
        with self._changed:
            if len(self._waiting) == MAX_WAITING:
                dropped, _ = self._waiting.popleft()
                log.warning(
                    "the program is too slow: %d events are queued, number %d of %s is dropped",
                    MAX_WAITING,
                    dropped.seq,
                    dropped.stream,
                )
            self._waiting.append((event, payload))
            self._changed.notify()

    def close(self) -> None:
        """Run what waits, and return."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def break_off(self) -> None:
        """End the running program and drop the waiting events: ``close`` returns soon.

        For a signal handler in the thread that called ``close``.
        """
        with self._changed:
            if self.left is None:
                self.left = len(self._waiting)
            self._waiting.clear()
        if process := self._process:
            _end(process)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closing:
                        return
                    self._changed.wait()
                event, payload = self._waiting.popleft()
            try:
                self._run_one(arguments(self._command, event), payload)
            except Exception as error:  # such as an argument that the locale cannot write
                program, stream = self._command[0], one_line(event.stream)
                log.warning("%s: number %d of %s: %s", program, event.seq, stream, error)

    def _run_one(self, command: list[str], payload: bytes) -> None:
        try:
            # A session of its own: what the program starts is ended with it.
            process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        except OSError as error:
            log.warning("%s: %s", command[0], error.strerror)
            return
        self._process = process
        try:
            process.communicate(payload + b"\n", timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("%s: not done within %g s, killed", command[0], self._timeout_s)
            _end(process)
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()
        else:
            if process.returncode:
                log.warning("%s: exit code %d", command[0], process.returncode)
        finally:
            self._process = None


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
