"""What a daemon publishes, held for a short while, and sent to every connected browser.

All browsers share one ring of messages: each has no queue of its own, only a position in the ring.
One that stops reading falls off the ring's end, and gets a new snapshot when it is back. A second
ring holds the snapshot for new browsers: statuses and levels, which are most of the messages, are
not in it, and so do not displace what is shown for two minutes.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from typing import NamedTuple

import msgspec

from edgeser.events.schema import PASSING, AnyEvent, StatusEvent, topic_of
from edgeser.events.sequence import Gap

KEPT_S = 150.0
"""The page shows two minutes."""

MAX_MESSAGES = 8192
MAX_BYTES = 8_000_000

SILENT_S = 3.5
"""A daemon publishes its status every second: one that is silent for this long counts as gone."""

_encode = msgspec.json.Encoder().encode


class Link(msgspec.Struct, frozen=True, tag_field="type", tag="link"):
    """Whether the daemon is heard: a message from the page's server, not from the daemon."""

    heard: bool
    time: float | None
    """Since when, in Unix seconds by the daemon's clock; None if it was never heard."""
    trouble: str = ""
    """Why it is not heard, if known."""


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
        """Append a message; ``trim`` makes room."""
        self.messages.append(message)
        self._bytes += len(message.frame)

    def trim(self, now: float) -> None:
        """Drop the oldest while there are too many, or they are too old (``now``: monotonic)."""
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
        """Names this run of the page's server: numbers are valid within one run."""
        self.link: Link = Link(False, None)
        self.latest: dict[str, Message] = {}
        """The latest message of each ``PASSING`` topic, in this run of the daemon."""
        self.last = 0
        """Number of the latest message."""
        self.clients = 0
        """How many browsers are connected."""
        self.watched = asyncio.Event()
        """Set while any browser is."""
        self.closed = False
        """Whether this process is ending."""
        self._all = Ring()
        self._shown = Ring()
        self._heard_at = 0.0
        self._ahead_s = 0.0
        self._epoch = ""
        self._news = asyncio.Event()

    def clock(self) -> float:
        """The time by the daemon's clock, from its last status, in Unix seconds."""
        return time.time() + self._ahead_s

    def take(self, item: AnyEvent | Gap, payload: bytes) -> None:
        """Take an item from the subscriber; past events only as far as they are shown."""
        if isinstance(item, Gap):
            self._add(f"gap.{item.topic}", _encode(item))
            return
        if isinstance(item, StatusEvent):  # which is never replayed
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
        """Add an event of the journal from before this process began."""
        self._add(topic, payload)

    def check(self) -> None:
        """To be called about once a second: notices when nothing comes any more."""
        if self.link.heard and time.monotonic() > self._heard_at + SILENT_S:
            since = self.clock() - (time.monotonic() - self._heard_at)
            self._set_link(Link(False, since))

    def report_trouble(self, trouble: str) -> None:
        """Note that nothing can be heard, and why."""
        if trouble != self.link.trouble:
            since = self.clock() if self.link.heard else self.link.time
            self._set_link(Link(False, since, trouble))

    def close(self) -> None:
        """This process ends: end every browser's response."""
        self.closed = True
        self._wake()

    def enter(self) -> None:
        """Count a browser that connects."""
        self.clients += 1
        self.watched.set()

    def leave(self) -> None:
        """Count a browser that leaves."""
        self.clients -= 1
        if not self.clients:
            self.watched.clear()

    def behind(self, number: int) -> bytes | None:
        """All frames after a message, joined; None if some of them are gone."""
        if number > self.last:
            return None
        missing = self.last - number
        messages = self._all.messages
        if missing > len(messages):
            return None
        start = len(messages) - missing
        return b"".join(messages[i].frame for i in range(start, len(messages)))

    def snapshot(self) -> bytes:
        """Frames for a new browser: what is still shown, and the latest of ``PASSING`` topics."""
        shown = sorted([*self._shown.messages, *self.latest.values()])
        return b"".join(message.frame for message in shown)

    def position(self) -> str:
        """The position of a browser that has everything."""
        return f"{self.run}:{self.last}"

    def number_of(self, position: str | None) -> int | None:
        """The number in a position of this run; None for any other text."""
        run, _, number = (position or "").partition(":")
        is_number = number.isascii() and number.isdecimal() and len(number) < 19
        return int(number) if run == self.run and is_number else None

    async def news(self, number: int, patience_s: float) -> bool:
        """Wait until there is something after a message; False after ``patience_s``."""
        if number != self.last or self.closed:
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
        if b"\n" in payload or b"\r" in payload:  # would end the frame too early
            payload = msgspec.json.format(payload, indent=-1)
        self.last += 1
        frame = b"id: %s:%d\ndata: %s\n\n" % (self.run.encode(), self.last, payload)
        message = Message(self.last, time.monotonic(), topic, frame)
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
