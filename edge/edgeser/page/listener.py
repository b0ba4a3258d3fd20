"""Passes a daemon's events to the hub, and to the copy of its journal if there is one."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from edgeser.errors import UserError
from edgeser.events.schema import (
    EMOTION_PREFIX,
    FAULT_PREFIX,
    LEVEL_PREFIX,
    SPEECH_PREFIX,
    STATUS_PREFIX,
)
from edgeser.events.subscribe.subscriber import Received, Subscriber
from edgeser.page.hub import Hub

log = logging.getLogger(__name__)

EVENTS = (EMOTION_PREFIX, SPEECH_PREFIX, FAULT_PREFIX, STATUS_PREFIX)
LEVELS = (LEVEL_PREFIX,)
"""The daemon measures these more often than once a second only while somebody asks for them."""

SHOWN = "3m"
"""The past to ask for first, if there is no journal's file: as much as is shown."""

CHECK_S = 1.0
RETRY_S = 5.0


class Daemon(NamedTuple):
    """Where a daemon publishes, and with which keys it lets us read."""

    endpoint: str | None = None
    key: Path | None = None
    server_key: str | None = None

    def check(self) -> str:
        """The endpoint in full. Raises ``UserError`` where it cannot be used."""
        with self.subscribe(()) as subscriber:
            return subscriber.endpoint

    def subscribe(self, topics: tuple[str, ...], since: str | None = None) -> Subscriber:
        """Raises ``UserError``."""
        return Subscriber(
            self.endpoint, topics, CHECK_S, since=since, key=self.key, server_key=self.server_key
        )


class Listener:
    """Two subscriptions: one all the time, and one for the levels while a browser is connected. A
    copy of the journal needs a third, whose replay takes a while, so that live events do not wait.
    """

    def __init__(
        self,
        daemon: Daemon,
        hub: Hub,
        keep: Callable[[Received, bytes], None] | None = None,
    ) -> None:
        """``keep``: gets all that the daemon's journal holds, and then what is new."""
        self._daemon = daemon
        self._hub = hub
        self._keep = keep
        self._complained = ""

    async def run(self) -> None:
        """Listen until cancelled."""
        await asyncio.gather(self._events(), self._levels(), self._past())

    async def _events(self) -> None:
        since = SHOWN if self._keep else None
        while True:
            try:
                with self._daemon.subscribe(EVENTS, since) as subscriber:
                    await self._listen(subscriber, self._take)
            except UserError as error:
                log.warning("%s", error)
                self._hub.report_trouble(str(error))
                await asyncio.sleep(RETRY_S)

    async def _levels(self) -> None:
        while True:
            await self._hub.watched.wait()
            await self._heard()
            with suppress(UserError), self._daemon.subscribe(LEVELS) as subscriber:
                await self._listen(subscriber, self._hub.take, self._hub.watched.is_set)
            await asyncio.sleep(CHECK_S)

    async def _past(self) -> None:
        while self._keep is not None:
            await self._heard()
            with suppress(UserError), self._daemon.subscribe(EVENTS, "all") as subscriber:
                await self._listen(subscriber, partial(self._keep_copy, self._keep))
            await asyncio.sleep(RETRY_S)

    async def _heard(self) -> None:
        while not self._hub.link.heard:  # ``_events`` reports why
            await asyncio.sleep(CHECK_S)

    async def _listen(
        self,
        subscriber: Subscriber,
        take: Callable[[Received, bytes], None],
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        while goes_on():
            try:
                item = await anext(subscriber)
            except TimeoutError:
                self._hub.check()
            else:
                take(item, subscriber.payload)

    def _take(self, item: Received, payload: bytes) -> None:
        self._hub.take(item, payload)
        self._hub.check()

    def _keep_copy(
        self, keep: Callable[[Received, bytes], None], item: Received, payload: bytes
    ) -> None:
        try:
            keep(item, payload)
            self._complained = ""
        except (OSError, sqlite3.Error) as error:  # live events are shown all the same
            if str(error) != self._complained:
                self._complained = str(error)
                log.warning("the copy of the journal cannot be written: %s", error)
