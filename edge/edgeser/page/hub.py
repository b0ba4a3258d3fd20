"""What a daemon publishes, held for a short while, and told to every browser that asks.

One ring of messages for all: a browser has no queue of its own, only its place in the ring. One
that stops reading falls off the ring's end, and is then told everything anew when it is back. A
second ring is for who has just come: what passes, which is most, does not push out of it what is
shown for two minutes.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from edgeser.events.schema import AnyEvent, StatusEvent, topic_of
from edgeser.events.sequence import Gap

KEPT_S = 150.0
"""The page shows two minutes."""

MAX_MESSAGES = 8192
MAX_BYTES = 8_000_000

SILENT_S = 3.5
"""A daemon publishes its status every second: after so long it counts as gone."""

PASSING = ("status.", "level.")
"""Topics of which only the latest says something to who has just come."""

_encode = msgspec.json.Encoder().encode


class Link(msgspec.Struct, frozen=True, tag_field="type", tag="link"):
    """Whether the daemon is heard. The page says it, not the daemon."""

    heard: bool
    time: float | None
    """Unix seconds since when, by the daemon's clock; None where it was never heard."""
    trouble: str = ""
    """Why not, where that is known."""


class Message(NamedTuple):
    """A message as it is sent; ``number`` counts from 1, ``time`` is monotonic."""

    number: int
    time: float
    topic: str
    frame: bytes


class Ring:
    """The latest messages, within bounds."""

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self._bytes = 0

    def add(self, message: Message) -> None:
        """Behind all others; ``trim`` makes room."""
        self.messages.append(message)
        self._bytes += len(message.frame)

    def trim(self, now: float) -> None:
        """Drop the oldest, as far as they are too many or too old (``now``: monotonic)."""
        while self.messages and (
            len(self.messages) > MAX_MESSAGES
            or self._bytes > MAX_BYTES
            or self.messages[0].time < now - KEPT_S
        ):
            self._bytes -= len(self.messages.popleft().frame)


class Hub:
    """The rings. To be used in one thread, that of the event loop."""

    def __init__(self) -> None:
        self.run = secrets.token_hex(4)
        """Names this run of the page: the numbers of another one mean nothing here."""
        self.link: Link = Link(False, None)
        self.latest: dict[str, Message] = {}
        """Of each passing topic, in this run of the daemon."""
        self.state: str | None = None
        self._all = Ring()
        self._shown = Ring()
        self._last = 0
        self._heard_at = 0.0
        self._ahead_s = 0.0
        self._epoch = ""
        self._news = asyncio.Event()
        self._listeners: list[Callable[[int], None]] = []
        self._clients = 0
        self._closed = False

    @property
    def clients(self) -> int:
        """How many browsers are being told."""
        return self._clients

    @property
    def closed(self) -> bool:
        """Whether this process ends."""
        return self._closed

    @property
    def last(self) -> int:
        """Number of the latest message."""
        return self._last

    def clock(self) -> float:
        """What time it is where the daemon runs, by its last status, in Unix seconds."""
        return time.time() + self._ahead_s

    def take(self, item: AnyEvent | Gap, payload: bytes) -> None:
        """What the subscriber gave; of the past only what is shown."""
        if isinstance(item, Gap):
            self._add(f"gap.{item.topic}", _encode(item))
            return
        if isinstance(item, StatusEvent):  # which is never told late
            self.state = item.state
            self._ahead_s = item.time - time.time()
        if item.time < self.clock() - KEPT_S:
            return
        if item.epoch != self._epoch:
            self._epoch = item.epoch
            self.latest.clear()
        self._heard_at = time.monotonic()
        if not self.link.heard:
            self._set_link(Link(True, self.clock()))
        self._add(topic_of(item), payload)

    def recall(self, topic: str, payload: bytes) -> None:
        """An event from before this process began, out of the journal."""
        self._add(topic, payload)

    def check(self) -> None:
        """To be called about once a second: notes that nothing comes any more."""
        if self.link.heard and time.monotonic() > self._heard_at + SILENT_S:
            since = self.clock() - (time.monotonic() - self._heard_at)
            self.state = None
            self._set_link(Link(False, since))

    def report_trouble(self, trouble: str) -> None:
        """Nothing can be heard, and why."""
        if trouble != self.link.trouble:
            since = self.clock() if self.link.heard else self.link.time
            self._set_link(Link(False, since, trouble))

    def close(self) -> None:
        """This process ends: let every browser go."""
        self._closed = True
        self._wake()

    def enter(self) -> None:
        """One browser more."""
        self._clients += 1
        for tell in self._listeners:
            tell(self._clients)

    def leave(self) -> None:
        """One less."""
        self._clients -= 1
        for tell in self._listeners:
            tell(self._clients)

    def on_clients(self, tell: Callable[[int], None]) -> None:
        """Be told how many browsers there are, whenever that changes."""
        self._listeners.append(tell)

    def behind(self, number: int) -> bytes | None:
        """Everything after a message, to be sent at once; None where some of it is gone."""
        if number > self._last:
            return None
        missing = self._last - number
        messages = self._all.messages
        if missing > len(messages):
            return None
        start = len(messages) - missing
        return b"".join(messages[i].frame for i in range(start, len(messages)))

    def snapshot(self) -> bytes:
        """For who has just come: what is still shown, and the latest of what passes."""
        shown = sorted([*self._shown.messages, *self.latest.values()])
        return b"".join(message.frame for message in shown)

    def position(self) -> str:
        """Where a browser is that has everything."""
        return f"{self.run}:{self._last}"

    def number_of(self, position: str | None) -> int | None:
        """The number in a position of this run; None for any other text."""
        run, _, number = (position or "").partition(":")
        is_number = number.isascii() and number.isdecimal() and len(number) < 19
        return int(number) if run == self.run and is_number else None

    async def news(self, number: int, patience_s: float) -> bool:
        """Wait until there is something after a message; False when it took too long."""
        if number != self._last or self._closed:
            return True
        try:
            await asyncio.wait_for(self._news.wait(), patience_s)
        except asyncio.TimeoutError:
            return False
        return True

    def _set_link(self, link: Link) -> None:
        self.link = link
        self._add("link", _encode(link))

    def _add(self, topic: str, payload: bytes) -> None:
        if b"\n" in payload or b"\r" in payload:  # would end the frame before its end
            payload = msgspec.json.format(payload, indent=-1)
        self._last += 1
        frame = b"id: %s:%d\ndata: %s\n\n" % (self.run.encode(), self._last, payload)
        message = Message(self._last, time.monotonic(), topic, frame)
        if topic.startswith(PASSING):
            self.latest[topic] = message
        else:
            self._shown.add(message)
        self._all.add(message)
        for ring in (self._all, self._shown):
            ring.trim(message.time)
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
