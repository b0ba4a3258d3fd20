"""A subscriber's end of replay: one question at a time, asked again when no answer comes."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple, TypeAlias

import msgspec
import zmq

from edgeser.events.replay import MAX_REQUEST_BYTES, ReplayEnd, ReplayError, ReplayRequest
from edgeser.events.schema import AnyEvent
from edgeser.events.sequence import Gap
from edgeser.events.wire.curve import CurveClient
from edgeser.events.wire.endpoint import Endpoint, IpcEndpoint
from edgeser.events.wire.sockets import client_socket

PATIENCE_S = 3.0
"""An answer takes milliseconds; after so long the question is asked again."""

ABSENT_S = 1.0
"""A socket that has not been there for so long is not just being made anew."""

ATTEMPTS = 20
"""How often a question is asked while an event is held for its answer: a minute, in which a daemon
that died is back."""

ATTEMPTS_AT_FIRST = 4
"""The same where nobody has ever answered."""

Part: TypeAlias = AnyEvent | Gap

_decoder: msgspec.json.Decoder[AnyEvent | Gap | ReplayEnd | ReplayError] = msgspec.json.Decoder(
    AnyEvent | Gap | ReplayEnd | ReplayError
)
_encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """What came; ``payloads`` are the parts as they were received."""

    parts: list[Part]
    payloads: list[bytes]
    end: ReplayEnd


class ReplayClient:
    """Asks at one endpoint; connected from the first question to ``rest``."""

    def __init__(self, endpoint: Endpoint, curve: CurveClient | None = None) -> None:
        self._endpoint = endpoint
        self._curve = curve
        self._socket: zmq.Socket[bytes] | None = None
        self._asked: ReplayRequest | None = None
        self._attempts = 0
        self._asked_at = 0.0
        self._was_answered = False
        self.refusal: str | None = None
        """Why the question asked last gets no answer, where that was said."""

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
        absent = self._is_absent() and time.monotonic() < self._asked_at + ABSENT_S
        return self._asked_at + (ABSENT_S if absent else PATIENCE_S)

    @property
    def is_hopeless(self) -> bool:
        """Whether the question was refused or asked often enough, or nobody is there."""
        if self.refusal is not None:
            return True
        if self._is_absent():
            return time.monotonic() >= self._asked_at + ABSENT_S
        return self._attempts > (ATTEMPTS if self._was_answered else ATTEMPTS_AT_FIRST)

    def ask(self, request: ReplayRequest) -> None:
        """Ask, or ask again after ``PATIENCE_S``; to be called whenever the wait is over."""
        now = time.monotonic()
        if request == self._asked and now < self._asked_at + PATIENCE_S:
            return
        self._attempts = self._attempts + 1 if request == self._asked else 1
        self._asked, self._asked_at, self.refusal = request, now, None
        message = _encode(request)
        if len(message) > MAX_REQUEST_BYTES:  # the connection would be cut, without a word
            self.refusal = f"a request has {MAX_REQUEST_BYTES} bytes at most, not {len(message)}"
            return
        with suppress(zmq.Again):  # the last one has not been sent yet
            self.socket.send(message, zmq.NOBLOCK)

    def answer(self) -> Answer | None:
        """The answer to the question asked last, if it is there; others are thrown away.

        An answer that says why there is none becomes the ``refusal``.
        """
        try:
            frames = self.socket.recv_multipart(zmq.NOBLOCK)
            parts = [_decoder.decode(frame) for frame in frames]
        except (zmq.Again, msgspec.MsgspecError, ValueError, RecursionError):
            return None
        end = parts.pop() if parts else None
        if not isinstance(end, ReplayEnd | ReplayError) or self._asked is None:
            return None
        if end.id != self._asked.id:
            return None
        if isinstance(end, ReplayError):
            self.refusal = end.message
            return None
        events = [part for part in parts if not isinstance(part, ReplayEnd | ReplayError)]
        if len(events) != len(parts):
            return None
        self._was_answered = True
        return Answer(events, frames[:-1], end)

    def rest(self) -> None:
        """Disconnect until the next question."""
        self._asked = None
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None

    def _is_absent(self) -> bool:
        """Whether there is nothing to connect to; of TCP that is not known."""
        return isinstance(self._endpoint, IpcEndpoint) and not os.path.exists(self._endpoint.path)
