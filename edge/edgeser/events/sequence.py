"""Which events a subscriber has received, received twice, or missed. Pure: no socket, no clock.

A publisher numbers the events of each topic from 1 without gaps and names its run (epoch), so the
numbers alone tell. That holds for a journal's replay, too: an event that arrives twice, once live
and once replayed, is recognised here as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta


class Gap(msgspec.Struct, frozen=True, tag_field="type", tag="gap"):
    """Events of one topic that were published and will not be delivered."""

    type: ClassVar[Literal["gap"]] = "gap"
    topic: str
    epoch: str
    from_seq: Annotated[int, Meta(description="the first that is missing")]
    to_seq: Annotated[
        int | None, Meta(description="the last that is missing; null: nobody knows, maybe none")
    ]

    @property
    def missed(self) -> int:
        """At least how many numbers are missing; some may be those of partials."""
        return 0 if self.to_seq is None else self.to_seq - self.from_seq + 1


class SequenceTracker:
    """The position of a subscriber in each topic.

    The first event of a topic sets the position, whatever its number: for a late joiner, what was
    before is no gap. A subscriber that was connected when the epoch changed, or that continues from
    a position, expects everything: if the first event's number is too high, there is a gap before
    it. The same holds after the first ``set_floor``.
    """

    def __init__(
        self, epoch: str = "", after: Mapping[str, int] | None = None, floor: int | None = None
    ) -> None:
        """``after``: the last sequence numbers received of ``epoch``, per topic.

        ``floor``: the same for all other topics; by default they begin with the first event
        received.
        """
        self.epoch = epoch
        self._last = dict(after or {})
        self._floor = floor

    @property
    def positions(self) -> dict[str, int]:
        """For each topic of this epoch the last number that was received or counted as a gap."""
        return dict(self._last)

    @property
    def floor(self) -> int | None:
        """The position of all other topics; None if they begin with the first event received."""
        return self._floor

    def missing(self, topic: str, epoch: str, seq: int) -> Gap | None:
        """The gap that an event's number shows before it. Changes nothing."""
        if epoch == self.epoch:
            last = self._last.get(topic, self._floor)
        else:
            last = 0 if self.epoch else self._floor
        return Gap(topic, epoch, last + 1, seq - 1) if last is not None and seq > last + 1 else None

    def accept(self, topic: str, epoch: str, seq: int) -> tuple[bool, Gap | None]:
        """Take an event's number; return whether to deliver the event, and the gap before it."""
        gap = self.missing(topic, epoch, seq)
        self.enter(epoch)
        last = self._last.get(topic, self._floor)
        if last is not None and seq <= last:
            return False, None
        self._last[topic] = seq
        return True, gap

    def unpublished(self, epoch: str, last_seq: Mapping[str, int]) -> list[Gap]:
        """The gaps shown by the last number that a publisher has sent per topic. Changes nothing.

        They show losses that no later event of the topic has shown yet. Topics that begin with the
        first event received are ignored until there was one.
        """
        gaps = (self.missing(topic, epoch, seq + 1) for topic, seq in last_seq.items())
        return [gap for gap in gaps if gap]

    def published(self, epoch: str, last_seq: Mapping[str, int]) -> list[Gap]:
        """Take the last numbers that a publisher has sent; return the gaps they show."""
        gaps = self.unpublished(epoch, last_seq)
        self.enter(epoch)
        for gap in gaps:
            self.skip(gap.topic, gap.from_seq + gap.missed - 1)
        return gaps

    def set_floor(self, last_seq: Mapping[str, int]) -> bool:
        """Take the last numbers published before a late joiner came, which expects all after them.

        Returns False if the floor was set before.
        """
        if self._floor is not None:
            return False
        for topic, seq in last_seq.items():
            self._last.setdefault(topic, seq)
        self._floor = 0
        return True

    def skip(self, topic: str, through: int) -> None:
        """Count the numbers up to ``through`` as done: none of them will come any more."""
        self._last[topic] = max(self._last.get(topic, self._floor or 0), through)

    def enter(self, epoch: str) -> None:
        """Switch to this epoch. A subscriber that was in another one expects all of it."""
        if epoch != self.epoch:
            if self.epoch:
                self._floor = 0
            self.epoch = epoch
            self._last.clear()
