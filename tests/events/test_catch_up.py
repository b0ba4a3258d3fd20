"""Whatever is lost on the way, a resuming subscriber is told all that the journal holds, once; and
where nobody can tell it any more, it is told that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeser.events.schema import is_kept, topic_of
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.catch_up import CatchUp, Position

from .past import Key, Listener, Published, Told, World, histories

FATES = st.sampled_from(
    [["answered"], ["unanswered"], ["refused"], ["answered", "answered", "unanswered", "refused"]]
)
"""What may become of each request."""

_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def told_of(
    history: list[Published],
    since: Position | None,
    joins: int,
    lag: int,
    fate: Callable[[], str] = lambda: "answered",
    *,
    keeps: bool = True,
) -> list[Told]:
    """All that a subscriber is told that comes when so much was published; what it receives is so
    many events old.
    """
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), history, keeps=keeps)
        listener = Listener(world, CatchUp([""], since), fate)
        world.go_on(joins)
        listener.ask()
        for place in range(joins, len(history)):
            world.go_on(min(len(history), place + 1 + lag))
            if history[place].arrives:
                listener.take(history[place].event)
        world.go_on(len(history))
        listener.take(world.last_status())
        world.close()
    return listener.told


def events_in(told: list[Told]) -> list[Key]:
    return [(e.epoch, topic_of(e), e.seq) for e in told if not isinstance(e, Gap)]


def missing_in(told: list[Told]) -> list[Key]:
    """What the gaps with an end say is gone."""
    return [
        (gap.epoch, gap.topic, seq)
        for gap in told
        if isinstance(gap, Gap)
        for seq in range(gap.from_seq, gap.from_seq + gap.missed)
    ]


def unknown_in(told: list[Told]) -> dict[tuple[str, str], int]:
    """From which number on nobody knows, by run and topic."""
    gaps = [gap for gap in told if isinstance(gap, Gap) and gap.to_seq is None]
    return {(gap.epoch, gap.topic): gap.from_seq for gap in gaps}


def check_each_once_and_in_order(told: list[Told]) -> None:
    events, gone, unknown = events_in(told), missing_in(told), unknown_in(told)
    for epoch, topic in {(epoch, topic) for epoch, topic, _ in events}:
        seqs = [seq for e, t, seq in events if (e, t) == (epoch, topic)]
        assert seqs == sorted(set(seqs)), "each once, in order"
    assert len(gone) == len(set(gone)), "gone twice"
    assert not set(gone) & set(events), "told, and said to be gone"
    for epoch, topic, seq in events:
        assert seq < unknown.get((epoch, topic), seq + 1), "told, and said to be unknown"


@_PATIENT
@given(histories(), st.data(), st.integers(0, 20))
def test_what_is_held_is_told_once_in_order_and_what_is_lost_is_in_a_gap(
    history: list[Published], data: st.DataObject, lag: int
) -> None:
    told = told_of(history, Position(""), data.draw(st.integers(1, len(history))), lag)
    events, gone = events_in(told), missing_in(told)
    check_each_once_and_in_order(told)
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


@_PATIENT
@given(histories(forgetful=True), st.data(), st.integers(0, 20), st.booleans(), FATES)
def test_without_answers_or_journal_what_may_be_missing_is_still_said(
    history: list[Published], data: st.DataObject, lag: int, keeps: bool, fates: list[str]
) -> None:
    joins = data.draw(st.integers(1, len(history)), label="joins")
    since = data.draw(st.sampled_from([None, Position(""), position_in(history[:joins], data)]))
    told = told_of(
        history, since, joins, lag, lambda: data.draw(st.sampled_from(fates)), keeps=keeps
    )
    check_each_once_and_in_order(told)
    events, unknown = events_in(told), unknown_in(told)
    accounted_for = {*events, *missing_in(told)}
    last_run = history[-1].event.epoch
    for published in history:
        epoch, topic, seq = published.key
        if not is_kept(published.event) or published.key in accounted_for:
            continue
        if unknown.get((epoch, topic), seq + 1) <= seq or is_before(published, since):
            continue
        assert not any(k[:2] == (epoch, topic) and k[2] < seq for k in events), "missed in silence"
        assert since is None or epoch != last_run, "missed in the run that goes on"
    for epoch in {epoch for epoch, _ in unknown}:
        ends = [published for published in history if published.event.epoch == epoch][-1]
        was_announced = ends.ends_its_run and ends.key in events
        follows = [p.event.epoch for p in history if p.event.epoch > epoch]
        assert not was_announced or {*follows} != {last_run}, "it had ended, and all was told"


def position_in(history: list[Published], data: st.DataObject) -> Position:
    """Where somebody was who heard all of a run up to some place in the history."""
    heard = history[: data.draw(st.integers(1, len(history)), label="heard")]
    epoch = heard[-1].event.epoch
    after = {topic: seq for e, topic, seq in (p.key for p in heard) if e == epoch}
    return Position(epoch, after)


def is_before(published: Published, since: Position | None) -> bool:
    if since is None or not since.epoch:
        return False
    epoch, topic, seq = published.key
    return epoch < since.epoch or (epoch == since.epoch and seq <= since.after.get(topic, 0))
