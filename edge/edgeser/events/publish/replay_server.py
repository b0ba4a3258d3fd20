"""Answers requests for past events, in a thread of its own, so that they delay nothing else."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import msgspec
import zmq

from edgeser.events.journal.answer import RunProgress, answer
from edgeser.events.journal.file import ForeignFileError, is_corrupt
from edgeser.events.journal.journal import Journal
from edgeser.events.journal.reader import JournalReader
from edgeser.events.wire.rebinder import Rebinder
from edgeser.events.wire.replay import MAX_REQUEST_BYTES, read_request, refusal
from edgeser.events.wire.socket_thread import SocketThread
from edgeser.events.wire.sockets import LINGER_MS, server_socket

log = logging.getLogger(__name__)

RECEIVE_HWM = 2
"""Requests held for a client (2 MB); one that asks one at a time has none waiting."""

SEND_HWM = 8
"""Answers held for a client that does not take them (2 MB); further ones are dropped."""

REST_S = 0.05
"""After a request the thread sleeps as long as that took, but no longer than this."""


def replay_socket(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    """The socket for a ``ReplayServer``, still to be bound."""
    socket = server_socket(
        context, zmq.ROUTER, send_hwm=SEND_HWM, max_message_bytes=MAX_REQUEST_BYTES
    )
    socket.setsockopt(zmq.RCVHWM, RECEIVE_HWM)
    return socket


class ReplayServer:
    """Serves a socket that the caller has bound, and takes it over."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        rebinder: Rebinder,
        journal: Journal | None,
        live: Callable[[], RunProgress],
    ) -> None:
        """Start the thread. ``live`` is called in it."""
        self._socket = socket
        self._rebinder = rebinder
        self._cut_due = False
        self._journal = journal
        self._live = live
        self._closing = False
        self._thread = SocketThread(
            "replay", socket, self._turn, pause_ms=lambda: rebinder.pause_ms
        )
        self._thread.start()

    def cut(self) -> None:
        """Close every encrypted connection, soon; those who may can connect again."""
        self._cut_due = True
        self._thread.wake()

    def close(self) -> None:
        """Stop answering and close the socket."""
        self._closing = True
        self._thread.wake()
        self._thread.join()
        self._socket.close(linger=LINGER_MS)

    def _turn(self, readable: bool) -> bool:
        try:
            if self._cut_due:
                self._cut_due = False
                self._rebinder.cut()
            self._rebinder.retry()
            if readable:
                begun = time.monotonic()
                self._serve(self._receive())
                time.sleep(min(time.monotonic() - begun, REST_S))
        except Exception:
            log.exception("a request for replay has failed")
        return not self._closing

    def _serve(self, frames: list[bytes]) -> None:
        try:
            if len(frames) != 2:
                raise ValueError("a request has one part")
            request = read_request(frames[1])
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._send([frames[0], refusal(frames[-1], error)])
            return
        live = self._live()
        try:
            with ExitStack() as stack:
                parts = answer(request, self._open(stack), live)
        except sqlite3.Error as error:  # the client will ask again
            log.warning("the journal cannot be read: %s", error)
            if is_corrupt(error) and self._journal:
                self._journal.report_corruption()
            return
        self._send([frames[0], *parts])

    def _send(self, frames: list[bytes]) -> None:
        with suppress(zmq.Again):
            self._socket.send_multipart(frames, zmq.NOBLOCK)

    def _receive(self) -> list[bytes]:
        """One message: the sender's id, and at most two of its parts."""
        frames = [self._socket.recv(zmq.NOBLOCK)]
        while self._socket.getsockopt(zmq.RCVMORE):
            part = self._socket.recv(zmq.NOBLOCK)
            if len(frames) < 3:
                frames.append(part)
        return frames

    def _open(self, stack: ExitStack) -> JournalReader | None:
        if self._journal is None:
            return None
        try:
            return stack.enter_context(JournalReader(self._journal.path))
        except (OSError, ForeignFileError):
            return None
