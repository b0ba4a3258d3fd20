"""A single connection to a NATS server, for a thread without an event loop.

The library is asynchronous and runs in a thread of its own. JetStream acknowledges a message when
it has stored it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from typing import NamedTuple, TypeVar

from edgeser.bridges.nats.client import (
    ANSWER_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    NatsError,
    connect,
    explained,
)
from edgeser.bridges.nats.server import Server

MAX_IN_FLIGHT = 200

Answer = TypeVar("Answer")


class _Sent(NamedTuple):
    ticket: int
    stored: Future[None]


class Connection:
    """Publishes until something fails; then close it, and make a new one."""

    def __init__(self, server: Server, inbox: str) -> None:
        """``inbox``: answers come to subjects below it.

        Raises NatsError, and UserError for files of ours that cannot be read.
        """
        self._server = server
        self._troubles: list[str] = []
        self._sent: deque[_Sent] = deque()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
        self._thread.start()
        try:
            self._client = self._wait(connect(server, inbox, self._troubles), 2 * CONNECT_TIMEOUT_S)
            self._jetstream = self._client.jetstream(timeout=ANSWER_TIMEOUT_S)
        except BaseException:
            self._end()
            raise

    @property
    def max_payload(self) -> int:
        """The longest message that the server takes, in bytes."""
        return int(self._client.max_payload)

    @property
    def is_full(self) -> bool:
        """Too many events await acknowledgement to publish more now."""
        return len(self._sent) >= MAX_IN_FLIGHT

    def publish(self, subject: str, payload: bytes, message_id: str, ticket: int) -> None:
        """Have JetStream store a message; its ticket comes back from ``acknowledged``."""
        store = self._store(subject, payload, message_id)
        self._sent.append(_Sent(ticket, asyncio.run_coroutine_threadsafe(store, self._loop)))

    def tell(self, subject: str, payload: bytes) -> None:
        """Publish without storage, to present subscribers only. Raises NatsError."""
        self._wait(self._tell(subject, payload), ANSWER_TIMEOUT_S)

    def acknowledged(self, wait_s: float = 0.0) -> list[int]:
        """Tickets of messages stored by now, in the order of publishing; waits ``wait_s`` for the
        first.

        Raises NatsError if a message cannot be stored, or the connection is lost.
        """
        if not self._client.is_connected:
            why = self._troubles[-1] if self._troubles else "the connection was lost"
            raise NatsError(f"{self._server}: {why}")
        tickets = []
        while self._sent:
            try:
                self._sent[0].stored.result(wait_s)
            except NotYetError:
                break
            tickets.append(self._sent.popleft().ticket)
            wait_s = 0.0
        return tickets

    def close(self) -> None:
        """Disconnect. What is not acknowledged may or may not be stored."""
        try:
            self._wait(self._client.close(), 5.0)
        except (NatsError, NotYetError):
            pass
        finally:
            self._end()

    async def _store(self, subject: str, payload: bytes, message_id: str) -> None:
        with explained(self._server, self._troubles):
            headers = {"Nats-Msg-Id": message_id}
            await self._jetstream.publish(
                subject, payload, timeout=ANSWER_TIMEOUT_S, headers=headers
            )

    async def _tell(self, subject: str, payload: bytes) -> None:
        with explained(self._server, self._troubles):
            await self._client.publish(subject, payload)

    def _wait(self, work: Coroutine[object, object, Answer], within_s: float) -> Answer:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(within_s)
        except NotYetError:
            future.cancel()
            raise NatsError(f"{self._server}: no answer") from None

    def _end(self) -> None:
        async def stop() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        for sent in self._sent:
            sent.stored.cancel()
        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
