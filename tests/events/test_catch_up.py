"""Whatever is lost on the way, a resuming subscriber is told all that the journal holds, once."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeser.events.journal.answer import RunProgress, answer
from edgeser.events.journal.reader import JournalReader
from edgeser.events.journal.store import Entry, JournalStore
from edgeser.events.schema import AnyEvent, encode, is_kept, topic_of
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.catch_up import CatchUp, Position
from edgeser.events.wire.replay import ReplayEnd

from .helpers import emotion, fault, status

Told = AnyEvent | Gap
_decoder = msgspec.json.Decoder(AnyEvent | Gap | ReplayEnd)


@dataclass
class Published:
    """An event, whether it reaches the subscriber, and whether the journal loses it."""

    event: AnyEvent
    after: int
    arrives: bool
    lost: bool

    @property
    def key(self) -> tuple[str, str, int]:
        return self.event.epoch, topic_of(self.event), self.event.seq


class World:
    """A daemon that publishes a history, run after run, and keeps a journal of it."""

    def __init__(self, folder: Path, history: list[Published]) -> None:
        self._path = folder / "journal.db"
        self._history = history
        self._now = 0
        self._store: JournalStore | None = None
        self._epoch = ""
        self._last_seq: dict[str, int] = {}
        self._last_kept: dict[str, int] = {}

    def go_on(self, until: int) -> None:
        """Publish up to this place in the history."""
        for published in self._history[self._now : until]:
            event, topic = published.event, topic_of(published.event)
            if event.epoch != self._epoch or self._store is None:
                self.close()
                self._epoch, self._last_seq, self._last_kept = event.epoch, {}, {}
                self._store = JournalStore(self._path, event.epoch)
            if is_kept(event):
                if not published.lost:
                    entry = Entry(topic, event.seq, published.after, 1.0, encode(event))
                    self._store.append([entry])
                self._last_kept[topic] = event.seq
            self._last_seq[topic] = event.seq
        self._now = max(self._now, until)

    def ask(self, catch_up: CatchUp) -> list[Told]:
        """Answer whatever it asks, until it asks no more."""
        told: list[Told] = []
        for _ in range(100):
            if (request := catch_up.request) is None:
                return told
            live = RunProgress(self._epoch, self._last_seq, self._last_kept)
            with JournalReader(self._path) as reader:
                *parts, end = map(_decoder.decode, answer(request, reader, live))
            assert isinstance(end, ReplayEnd)
            told += [item for item, _ in catch_up.answered(parts, end)]  # type: ignore[arg-type]
        raise AssertionError("it asks for ever")

    def close(self) -> None:
        if self._store is not None:
            self._store.close()


@st.composite
def histories(draw: st.DrawFn) -> list[Published]:
    """One to three runs of finals, partials and faults; the last kept of a topic is never lost."""
    history: list[Published] = []
    for epoch in "abc"[: draw(st.integers(1, 3))]:
        last: dict[str, int] = {}
        kept: dict[str, int] = {}
        for kind in draw(st.lists(st.sampled_from(["final", "partial", "fault"]), min_size=1)):
            event: AnyEvent = fault() if kind == "fault" else emotion(kind=kind)
            topic = topic_of(event)
            last[topic] = last.get(topic, 0) + 1
            event = msgspec.structs.replace(event, epoch=epoch, seq=last[topic])
            arrives, lost = draw(st.booleans()), is_kept(event) and draw(st.integers(0, 5)) == 0
            history.append(Published(event, kept.get(topic, 0), arrives, lost))
            if is_kept(event):
                kept[topic] = event.seq
        for published in history:
            event = published.event
            if event.epoch == epoch and kept.get(topic_of(event)) == event.seq:
                published.lost = False
    return history


def told_of(history: list[Published], joins: int, lag: int) -> list[Told]:
    """All that a subscriber is told that asks for everything when so much was published."""
    told: list[Told] = []
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), history)
        catch_up = CatchUp([""], Position(""))
        world.go_on(joins)
        told += world.ask(catch_up)
        for place in range(joins, len(history)):
            world.go_on(min(len(history), place + 1 + lag))
            if history[place].arrives:
                told += take(world, catch_up, history[place].event)
        world.go_on(len(history))
        end = history[-1].event.epoch
        last_seq = {topic_of(p.event): p.event.seq for p in history if p.event.epoch == end}
        last = msgspec.structs.replace(status(), epoch=end, seq=1, last_seq=last_seq)
        told += take(world, catch_up, last)
        world.close()
    return told


def take(world: World, catch_up: CatchUp, event: AnyEvent) -> list[Told]:
    told: list[Told] = []
    for _ in range(10):
        if not catch_up.hold(event):
            deliver, gaps = catch_up.take(event)
            return [*told, *gaps, *([event] if deliver else [])]
        told += world.ask(catch_up)
    raise AssertionError("it holds an event for ever")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.data(), st.integers(0, 20))
def test_what_is_held_is_told_once_in_order_and_what_is_lost_is_in_a_gap(
    history: list[Published], data: st.DataObject, lag: int
) -> None:
    told = told_of(history, data.draw(st.integers(1, len(history)), label="joins"), lag)
    events = [(e.epoch, topic_of(e), e.seq) for e in told if not isinstance(e, Gap)]
    gone = [
        (gap.epoch, gap.topic, seq)
        for gap in told
        if isinstance(gap, Gap)
        for seq in range(gap.from_seq, gap.from_seq + gap.missed)
    ]
    for epoch, topic in {(epoch, topic) for epoch, topic, _ in events}:
        seqs = [seq for e, t, seq in events if (e, t) == (epoch, topic)]
        assert seqs == sorted(set(seqs)), "each once, in order"
    assert [epoch for epoch, _, _ in events] == sorted(epoch for epoch, _, _ in events)
    lost = {published.key for published in history if published.lost}
    for gap in told:
        if isinstance(gap, Gap):
            # Of partials alone only where what came behind them is lost too: nobody can tell.
            later = {key for key in lost if key[:2] == (gap.epoch, gap.topic)}
            assert any(seq >= gap.from_seq for _, _, seq in later), "nothing is lost there"
    for published in history:
        if is_kept(published.event):
            was_told = published.key in events
            assert was_told or published.lost, "it is held, and was not told"
            assert was_told != (published.key in gone), "told, or said to be gone"
