"""The copy of a journal that a page keeps: all that was published, up to its bound."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from edgeser.events.journal.reader import JournalReader, Published
from edgeser.events.schema import encode
from edgeser.page import copy
from edgeser.page.copy import MAINTENANCE_ENTRIES, JournalCopy
from edgeser.page.hub import Hub
from edgeser.page.listener import Daemon as At
from edgeser.page.listener import Listener

from .world import PATIENCE_S, Daemon, emotion, status

EVENTS = 2 * MAINTENANCE_ENTRIES + 100


def fill(kept: JournalCopy, events: int) -> None:
    for seq in range(1, events + 1):
        event = emotion(kind="final", segment=seq)
        told = msgspec.structs.replace(event, epoch="a", seq=seq, time=1e9 + seq)
        kept.keep(told, encode(told))


def held(kept: JournalCopy) -> list[Published]:
    with JournalReader(kept.path) as reader:
        return list(reader.published(0.0))


def test_nothing_is_thrown_away_because_of_its_age() -> None:
    with JournalCopy() as kept:
        fill(kept, EVENTS)
        assert [entry.time - 1e9 for entry in held(kept)] == list(range(1, EVENTS + 1))


def test_what_is_heard_now_does_not_wait_for_the_past(daemon: Daemon) -> None:
    """With a full journal that takes minutes on a small board."""
    heard = []

    async def listen() -> None:
        hub = Hub()
        keep = lambda item, payload: heard.append(hub.link.heard)  # noqa: E731
        listening = asyncio.create_task(Listener(At(daemon.endpoint), hub, keep).run())
        while not heard:
            daemon.tell(status())
            await asyncio.sleep(0.05)
        listening.cancel()

    asyncio.run(asyncio.wait_for(listen(), PATIENCE_S))
    assert heard[0]


def test_the_oldest_go_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "MAX_BYTES", 200_000)
    with JournalCopy() as kept:
        fill(kept, 4 * MAINTENANCE_ENTRIES)
        left = held(kept)
    assert left[-1].time - 1e9 == 4 * MAINTENANCE_ENTRIES
    assert sum(len(entry.payload) for entry in left) <= 200_000
