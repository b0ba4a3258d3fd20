"""The replay requests of a subscriber that catches up. Pure: no socket, no clock.

A live event is held while something before it is missing: the rest of a topic, or of a run of the
daemon that has ended. Then ``request`` is the next request, ``answered`` takes the answer, and so
on until ``request`` is None and the event may be taken.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from edgeser.errors import UserError
from edgeser.events.schema import PASSING, AnyEvent, LevelEvent, StatusEvent, topic_of
from edgeser.events.sequence import Gap, SequenceTracker
from edgeser.events.wire.replay import (
    EpochName,
    Number,
    ReplayEnd,
    ReplayRequest,
    TopicName,
)
from edgeser.moment import looks_like_moment, parse_moment

RUNS_REMEMBERED = 1000
"""As many runs as a journal remembers."""

WithPayload: TypeAlias = tuple[AnyEvent | Gap, bytes]
"""An event or a gap, and the event's JSON just as it was received."""

WAY_BACK = 32
"""Most runs to ask for in search of one that the journal knows; more than ever follow each other
without a journal."""


class Position(msgspec.Struct, frozen=True):
    """How far a subscriber has come: it wants what is after this."""

    epoch: Annotated[EpochName, Meta(description="the run of the daemon; empty: before the oldest")]
    after: Annotated[
        dict[TopicName, Number], Meta(description="the last number of each topic")
    ] = {}
    floor: Annotated[Number, Meta(description="that of all topics not in `after`")] = 0
    not_before: Annotated[
        float, Meta(description="of those only what was published since (Unix s)")
    ] = 0.0

    def behind(self, topic: str, epoch: str, seq: int) -> Position:
        """This position, one event further."""
        if epoch != self.epoch:
            return Position(epoch, {topic: seq}, 0, self.not_before)
        return Position(epoch, {**self.after, topic: seq}, self.floor, self.not_before)


_POSITION = re.compile(r"([0-9a-f]{16})(?::([0-9]{1,18}))?")


def parse_since(text: str) -> Position:
    """Where to begin: ``all``, a moment, an epoch, or ``EPOCH:SEQ``. Raises UserError.

    A moment is ``10m`` ago, or a date; an epoch 16 hexadecimal digits; ``EPOCH:SEQ`` after that
    number in every topic.
    """
    if text == "all":
        return Position("")
    if looks_like_moment(text):
        return Position("", not_before=parse_moment(text, datetime.now().astimezone()))
    if position := _POSITION.fullmatch(text):
        return Position(position[1], {}, int(position[2] or 0))
    raise UserError(
        f"since {text!r}: neither a time nor a position",
        "expected all, 10m, 2h or 3d (ago), a date like 2026-11-20T08:00, or EPOCH[:SEQ] as events "
        "have them, e.g. f253efbe00c4d9a1:17",
    )


@dataclass
class _Repair:
    """Ask for what is missing in the present run."""

    gaps: deque[Gap]


@dataclass
class _Passage:
    """Ask for the rest of the present run and for those after it."""

    to: str | None
    """The run of the event held; None: the live one, for a subscriber that wants the past."""
    way_back: deque[str] = field(default_factory=deque)
    """Where the journal does not know the present run: earlier ones, to ask what came after."""


class CatchUp:
    """The plan of one subscriber, and its ``sequence``."""

    def __init__(self, prefixes: Sequence[str], since: Position | None) -> None:
        self._not_before = since.not_before if since else 0.0
        self._prefixes = tuple(prefixes)
        self._resumes = since is not None
        self._missing: _Repair | _Passage | None = _Passage(to=None) if self._resumes else None
        self._passed: deque[str] = deque(maxlen=RUNS_REMEMBERED)  # runs that were delivered
        self._strays: set[str] = set()  # earlier runs that the journal does not know
        self._stopped_well = False  # the last event announced the end of its run
        self._asked = 0
        self.joined: Position | None = None
        """The last numbers published before a late joiner came, once they are known."""
        if since is None:
            self.sequence = SequenceTracker()
        else:
            self.sequence = SequenceTracker(since.epoch, since.after, since.floor)

    @property
    def must_not_fail(self) -> bool:
        """Whether nothing may be delivered before the requested past."""
        return isinstance(self._missing, _Passage) and self._missing.to is None

    @property
    def request(self) -> ReplayRequest | None:
        """The next request; None if there is none."""
        missing, sequence = self._missing, self.sequence
        if missing is None:
            return None
        if isinstance(missing, _Repair):
            gap = missing.gaps[0]
            assert gap.to_seq is not None
            return ReplayRequest(
                id=self._asked,
                epoch=gap.epoch,
                topics={gap.topic: sequence.positions.get(gap.topic, gap.from_seq - 1)},
                until=gap.to_seq,
            )
        if missing.way_back:  # no events of that run, only which run came after it
            return ReplayRequest(id=self._asked, epoch=missing.way_back[0])
        return ReplayRequest(
            id=self._asked,
            epoch=sequence.epoch,
            topics=self._kept_positions(),
            prefixes=[] if sequence.floor is None else list(self._prefixes),
            after=sequence.floor or 0,
            not_before=self._not_before if missing.to is None else 0.0,
        )

    def hold(self, event: AnyEvent) -> bool:
        """Whether something must be requested before this live event may be taken."""
        sequence = self.sequence
        if self.is_old(event.epoch):
            return False
        if sequence.epoch and event.epoch != sequence.epoch:
            self._missing = _Passage(event.epoch)
            return True
        gaps: list[Gap] = []
        if isinstance(event, StatusEvent):
            gaps = sequence.unpublished(event.epoch, self._wanted(event.last_seq))
        elif not isinstance(event, LevelEvent) and (
            gap := sequence.missing(topic_of(event), event.epoch, event.seq)
        ):
            gaps = [gap]
        if gaps:
            self._missing = _Repair(deque(gaps))
            sequence.enter(event.epoch)
        return bool(gaps)

    def take(self, event: AnyEvent) -> tuple[bool, list[Gap]]:
        """Take a live event: whether to deliver it, and the gaps before it."""
        if self.is_old(event.epoch):  # it arrived while newer ones were requested
            is_wanted = topic_of(event).startswith(self._prefixes)
            return is_wanted and self.is_stray(event.epoch), []
        deliver, gap = self.sequence.accept(topic_of(event), event.epoch, event.seq)
        gaps = [gap] if gap and not isinstance(event, LevelEvent) else []
        if isinstance(event, StatusEvent):  # it replaces any missing statuses
            wanted = self._wanted(event.last_seq)
            gaps = self.sequence.published(event.epoch, wanted)
            if self.sequence.set_floor(wanted):
                self.joined = Position(event.epoch, self.sequence.positions)
        self._stopped_well = isinstance(event, StatusEvent) and event.state == "stopping"
        return deliver and topic_of(event).startswith(self._prefixes), gaps

    def is_old(self, epoch: str) -> bool:
        """Whether this run was before the present one: either delivered, or a stray."""
        return self.is_stray(epoch) or (epoch != self.sequence.epoch and epoch in self._passed)

    def is_stray(self, epoch: str) -> bool:
        """Whether this run was before the present one, and the journal does not know it."""
        return epoch != self.sequence.epoch and epoch in self._strays

    def answered(self, parts: Iterable[WithPayload], end: ReplayEnd) -> list[WithPayload]:
        """Take an answer; return what to deliver of it.

        Raises ``ValueError`` for one that would lead to the same request for ever.
        """
        request, missing = self.request, self._missing
        assert request is not None
        if isinstance(missing, _Passage) and missing.way_back:
            self._asked += 1
            self._go_back(missing, end)
            return []
        if not request.epoch:
            self.sequence.enter(end.epoch)
        if self._stopped_well and not end.known and end.next == end.live:
            parts = ()  # no gaps for the unknown run: its end was announced, and none followed it
        before = self.sequence.positions
        delivered = [told for told in parts if self._accepts(told[0])]
        for topic, seq in end.through.items():
            self.sequence.skip(topic, seq)
        if end.more and self.sequence.positions == before:
            raise ValueError("an answer that is to be continued brings nothing")
        self._asked += 1
        if end.more:
            return delivered
        if isinstance(missing, _Repair):
            delivered += [(gap, b"") for gap in self._repaired(missing)]
        elif missing:
            self._go_on(missing, end)
        return delivered

    def give_up(self, *, refused: bool) -> list[Gap]:
        """Give up the request; return the gaps of the old run. The held event will show the others.

        ``refused``: the request was too large, but a smaller one may be answered: instead of the
        rest of that run, ask which run came after it.
        """
        gaps: list[Gap] = []
        missing, self._missing = self._missing, None
        if not isinstance(missing, _Passage) or missing.to is None:
            return gaps
        if not missing.way_back:
            if not self._stopped_well:
                last = self._kept_positions()
                gaps = [Gap(t, self.sequence.epoch, last[t] + 1, None) for t in last]
            self._stopped_well = False
            if refused:
                self._missing = _Passage(missing.to, deque([self.sequence.epoch]))
                return gaps
        self._enter(missing.to)
        return gaps

    def _kept_positions(self) -> dict[str, int]:
        positions = self.sequence.positions
        return {topic: positions[topic] for topic in positions if not topic.startswith(PASSING)}

    def _wanted(self, last_seq: dict[str, int]) -> dict[str, int]:
        topics = (t for t in last_seq if t.startswith(self._prefixes))
        return {topic: last_seq[topic] for topic in topics if not topic.startswith(PASSING)}

    def _accepts(self, part: AnyEvent | Gap) -> bool:
        positions = self.sequence.positions
        if isinstance(part, Gap):
            if part.to_seq is not None:
                self.sequence.skip(part.topic, part.to_seq)
                return True
            return not isinstance(self._missing, _Repair)
        topic = topic_of(part)
        last = positions.get(topic, self.sequence.floor or 0)
        if part.epoch != self.sequence.epoch or part.seq <= last:
            return False
        self.sequence.skip(topic, part.seq)
        return True

    def _repaired(self, repair: _Repair) -> list[Gap]:
        """Finish the first repair; what its answer did not account for is a gap."""
        gap = repair.gaps.popleft()
        if not repair.gaps:
            self._missing = None
        assert gap.to_seq is not None
        last = self.sequence.positions.get(gap.topic, gap.from_seq - 1)
        self.sequence.skip(gap.topic, gap.to_seq)
        return [Gap(gap.topic, gap.epoch, last + 1, gap.to_seq)] if last < gap.to_seq else []

    def _go_on(self, passage: _Passage, end: ReplayEnd) -> None:
        """All of one run has been delivered: go on with the next, or back to live events."""
        if passage.to is None and end.epoch == end.live:
            self._missing = None
            self.sequence = SequenceTracker(end.live, end.through, 0)
            return
        self._stopped_well = False
        if passage.to is not None and end.epoch == end.live:
            # No run comes after this one yet, so the held event is of an earlier run.
            self._strays.add(passage.to)
            self._missing = None
        elif end.known:
            self._enter_next(passage, end.next, end.live)
        else:  # its place in the order is unknown: ask the runs before it
            knows_others = end.next != end.live
            passage.way_back = deque(islice(self._passed, WAY_BACK) if knows_others else ())
            self._go_back(passage, end)

    def _go_back(self, passage: _Passage, end: ReplayEnd) -> None:
        """Find the latest earlier run that the journal knows, and continue after it."""
        way_back = passage.way_back
        if way_back and end.epoch == way_back[0]:
            if end.known:
                way_back.clear()
                self._enter_next(passage, end.next, end.live)
                return
            way_back.popleft()
        if way_back:
            return
        # None of them is known. A subscriber that wanted the past gets all that there is; for a
        # late joiner nobody can tell whether that was before it joined.
        first = end.next if self._resumes and end.next not in self._passed else None
        self._enter_next(passage, first or passage.to, end.live)

    def _enter_next(self, passage: _Passage, upcoming: str | None, live: str) -> None:
        """Go on with the run that came after the last one delivered."""
        upcoming = upcoming or passage.to or live
        if passage.to is not None and upcoming in (passage.to, live):
            upcoming, self._missing = passage.to, None
        self._enter(upcoming)

    def _enter(self, epoch: str) -> None:
        if self.sequence.epoch and epoch != self.sequence.epoch:
            self._passed.appendleft(self.sequence.epoch)
        self.sequence.enter(epoch)
