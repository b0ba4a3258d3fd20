"""A subscriber's end of replay: one request at a time, repeated when no answer comes."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple

import msgspec
import zmq

from edgeser.events.schema import AnyEvent
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.catch_up import WithPayload
from edgeser.events.wire.curve import CurveClient
from edgeser.events.wire.endpoint import Endpoint, IpcEndpoint, replay_endpoint
from edgeser.events.wire.replay import MAX_REQUEST_BYTES, ReplayEnd, ReplayError, ReplayRequest
from edgeser.events.wire.sockets import client_socket

PATIENCE_S = 3.0
"""An answer takes milliseconds; after this long the request is repeated."""

ABSENT_S = 1.0
"""A replay socket that is missing for this long is not just about to be created."""

ATTEMPTS = 20
"""How often a request is sent over TCP if none has ever been answered: for a minute. That publisher
may have no replay server; a daemon answers in time even just after a restart."""

_part_decoder: msgspec.json.Decoder[AnyEvent | Gap] = msgspec.json.Decoder(AnyEvent | Gap)
_end_decoder: msgspec.json.Decoder[ReplayEnd | ReplayError] = msgspec.json.Decoder(
    ReplayEnd | ReplayError
)
_NOT_UNDERSTOOD = (msgspec.MsgspecError, ValueError, RecursionError)
_encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """An answer. ``malformed``: number of its parts that could not be decoded, for example from a
    later version.
    """

    parts: list[WithPayload]
    end: ReplayEnd
    malformed: int


class ReplayClient:
    """Sends requests to one endpoint; connected from the first request until ``rest``."""

    def __init__(self, endpoint: Endpoint, curve: CurveClient | None = None) -> None:
        """``endpoint``: where events are published; replay is beside it."""
        self._publisher = endpoint
        self._endpoint = replay_endpoint(endpoint)
        self._curve = curve
        self._socket: zmq.Socket[bytes] | None = None
        self._asked: ReplayRequest | None = None
        self._attempts = 0
        self._overdue_at = ATTEMPTS
        self._asked_at = 0.0
        self._found_absent_at: float | None = None
        self._was_answered = False
        self.refusal: str | None = None
        """Why the last request was refused, if it was."""

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """Becomes readable when an answer comes."""
        if self._socket is None:
            self._socket = client_socket(zmq.DEALER, self._endpoint, self._curve)
            self._socket.setsockopt(zmq.SNDHWM, 1)
            self._socket.connect(str(self._endpoint))
        return self._socket

    @property
    def wait_until(self) -> float:
        """When to ask again (monotonic)."""
        absent_since = self._absent_since()
        again = self._asked_at + PATIENCE_S
        return again if absent_since is None else min(again, absent_since + ABSENT_S)

    @property
    def is_hopeless(self) -> bool:
        """Whether the request was refused, or there is no replay server that ever answers.

        A daemon that is gone is not hopeless: the next one knows what it kept.
        """
        if self.refusal is not None:
            return True
        if self._was_answered:
            return False
        if isinstance(self._endpoint, IpcEndpoint):
            absent_since = self._absent_since()
            return absent_since is not None and time.monotonic() >= absent_since + ABSENT_S
        return self._attempts > ATTEMPTS

    @property
    def is_overdue(self) -> bool:
        """True once for every ``ATTEMPTS`` requests without an answer."""
        overdue = self._attempts > self._overdue_at
        if overdue:
            self._overdue_at = self._attempts + ATTEMPTS
        return overdue

    def ask(self, request: ReplayRequest) -> None:
        """Send a request, or repeat it after ``PATIENCE_S``; call it whenever the wait is over."""
        now = time.monotonic()
        if request == self._asked and now < self._asked_at + PATIENCE_S:
            return
        if request == self._asked:
            self._attempts += 1
        else:
            self._attempts, self._overdue_at = 1, ATTEMPTS
        self._asked, self._asked_at, self.refusal = request, now, None
        message = _encode(request)
        if len(message) > MAX_REQUEST_BYTES:  # the connection would be cut silently
            self.refusal = f"a request has {MAX_REQUEST_BYTES} bytes at most, not {len(message)}"
            return
        with suppress(zmq.Again):  # the last one has not been sent yet
            self.socket.send(message, zmq.NOBLOCK)

    def answer(self) -> Answer | None:
        """The answer to the last request, if it is there; others are discarded.

        An error as the answer becomes the ``refusal``.
        """
        try:
            *frames, last = self.socket.recv_multipart(zmq.NOBLOCK)
            end = _end_decoder.decode(last)
        except (zmq.Again, *_NOT_UNDERSTOOD):
            return None
        if self._asked is None or end.id != self._asked.id:
            return None
        if isinstance(end, ReplayError):
            self.refusal = end.message
            return None
        self._was_answered = True
        parts: list[WithPayload] = []
        for frame in frames:
            with suppress(*_NOT_UNDERSTOOD):
                part = _part_decoder.decode(frame)
                parts.append((part, b"" if isinstance(part, Gap) else frame))
        return Answer(parts, end, len(frames) - len(parts))

    def rest(self) -> None:
        """Disconnect until the next request."""
        self._asked = None
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None

    def _absent_since(self) -> float | None:
        """Since when the replay socket has been missing: a starting daemon binds it a bit later."""
        if not self._is_absent():
            self._found_absent_at = None
        elif self._found_absent_at is None:
            self._found_absent_at = time.monotonic()
        return self._found_absent_at

    def _is_absent(self) -> bool:
        """Whether there is a publisher without a replay socket beside it; unknown for TCP."""
        return (
            isinstance(self._endpoint, IpcEndpoint)
            and isinstance(self._publisher, IpcEndpoint)
            and os.path.exists(self._publisher.path)
            and not os.path.exists(self._endpoint.path)
        )
