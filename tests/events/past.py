"""A daemon's past from a subscriber's view: what was published, what was lost on the way or by the
journal, and which journals were lost as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from hypothesis import strategies as st

from edgeser.events.journal.answer import RunProgress, answer
from edgeser.events.journal.reader import JournalReader
from edgeser.events.journal.store import Entry, JournalStore
from edgeser.events.schema import AnyEvent, encode, is_kept, topic_of
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.catch_up import CatchUp
from edgeser.events.wire.replay import ReplayEnd, ReplayRequest

from .helpers import emotion, fault, status

Told = AnyEvent | Gap
Key = tuple[str, str, int]

_decoder = msgspec.json.Decoder(AnyEvent | Gap | ReplayEnd)


@dataclass
class Published:
    """An event, whether it reaches the subscriber, and whether the journal loses it."""

    event: AnyEvent
    after: int
    arrives: bool
    lost: bool
    forgets: bool = False
    """The journal's file is gone when the run begins with this event."""

    @property
    def key(self) -> Key:
        return self.event.epoch, topic_of(self.event), self.event.seq

    @property
    def ends_its_run(self) -> bool:
        return self.event.type == "status" and self.event.state == "stopping"


class World:
    """A daemon that publishes a history, run after run, and keeps a journal of it, or none."""

    def __init__(self, folder: Path, history: list[Published], *, keeps: bool = True) -> None:
        self._path = folder / "journal.db"
        self._history = history
        self._keeps = keeps
        self._now = 0
        self._store: JournalStore | None = None
        self._epoch = ""
        self._last_seq: dict[str, int] = {}
        self._last_kept: dict[str, int] = {}

    def go_on(self, until: int) -> None:
        """Publish up to this place in the history."""
        for published in self._history[self._now : until]:
            event, topic = published.event, topic_of(published.event)
            if event.epoch != self._epoch:
                self._begin(event.epoch, forgets=published.forgets)
            if is_kept(event):
                if self._store is not None and not published.lost:
                    entry = Entry(topic, event.seq, published.after, 1.0, encode(event))
                    self._store.append([entry])
                self._last_kept[topic] = event.seq
            self._last_seq[topic] = event.seq
        self._now = max(self._now, until)

    def last_status(self) -> AnyEvent:
        """A last status, which arrives, with the last number of every topic."""
        topic = topic_of(status())
        seq = self._last_seq.get(topic, 0) + 1
        last_seq = self._last_seq | {topic: seq}
        return msgspec.structs.replace(status(), epoch=self._epoch, seq=seq, last_seq=last_seq)

    def answer(self, request: ReplayRequest) -> tuple[list[tuple[Told, bytes]], ReplayEnd]:
        live = RunProgress(self._epoch, dict(self._last_seq), dict(self._last_kept))
        if self._keeps:
            with JournalReader(self._path) as reader:
                parts = answer(request, reader, live)
        else:
            parts = answer(request, None, live)
        *told, end = map(_decoder.decode, parts)
        assert isinstance(end, ReplayEnd)
        return [(part, b"") for part in told], end  # type: ignore[misc]

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _begin(self, epoch: str, *, forgets: bool) -> None:
        self.close()
        if forgets:
            for file in self._path.parent.glob(f"{self._path.name}*"):
                file.unlink()
        self._epoch, self._last_seq, self._last_kept = epoch, {}, {}
        if self._keeps:
            self._store = JournalStore(self._path, epoch)


class Listener:
    """A subscriber without sockets. ``fate`` returns what becomes of each request that may fail:
    ``answered``, ``unanswered`` or ``refused``.
    """

    def __init__(self, world: World, catch_up: CatchUp, fate: Callable[[], str]) -> None:
        self._world = world
        self._catch_up = catch_up
        self._fate = fate
        self.told: list[Told] = []

    def ask(self) -> bool:
        """Send all requests that are due; return whether the last one was answered."""
        for _ in range(200):
            request = self._catch_up.request
            if request is None:
                return True
            fate = "answered" if self._catch_up.must_not_fail else self._fate()
            if fate == "answered":
                answered = self._catch_up.answered(*self._world.answer(request))
                self.told += [item for item, _ in answered]
                continue
            self.told += self._catch_up.give_up(refused=fate == "refused")
            if self._catch_up.request is None:
                return False
        raise AssertionError("it asks for ever")

    def take(self, event: AnyEvent) -> None:
        """Receive a live event."""
        for _ in range(20):
            if not self._catch_up.hold(event) or not self.ask():
                deliver, gaps = self._catch_up.take(event)
                self.told += [*gaps, *([event] if deliver else [])]
                return
        raise AssertionError("it holds an event for ever")


@st.composite
def histories(draw: st.DrawFn, *, forgetful: bool = False) -> list[Published]:
    """One to four runs of finals, partials, faults and statuses, some of which say that they end;
    the last kept event of a topic is never lost. ``forgetful``: some begin without a journal.
    """
    history: list[Published] = []
    kinds = st.sampled_from(["final", "partial", "fault", "status"])
    for number, epoch in enumerate("abcd"[: draw(st.integers(1, 4))]):
        forgets = forgetful and number > 0 and draw(st.integers(0, 3)) == 0
        last: dict[str, int] = {}
        kept: dict[str, int] = {}
        ending = ["stopping"] * draw(st.integers(0, 1))
        for kind in draw(st.lists(kinds, min_size=1, max_size=6)) + ending:
            event = _event(kind)
            topic = topic_of(event)
            last[topic] = last.get(topic, 0) + 1
            event = msgspec.structs.replace(event, epoch=epoch, seq=last[topic])
            if event.type == "status":
                event = msgspec.structs.replace(event, last_seq=dict(last))
            arrives, lost = draw(st.booleans()), is_kept(event) and draw(st.integers(0, 5)) == 0
            history.append(Published(event, kept.get(topic, 0), arrives, lost, forgets))
            forgets = False
            if is_kept(event):
                kept[topic] = event.seq
        for published in history:
            event = published.event
            if event.epoch == epoch and kept.get(topic_of(event)) == event.seq:
                published.lost = False
    return history


def _event(kind: str) -> AnyEvent:
    if kind == "fault":
        return fault()
    if kind in ("final", "partial"):
        return emotion(kind=kind)
    return msgspec.structs.replace(
        status(), state="stopping" if kind == "stopping" else "listening"
    )
