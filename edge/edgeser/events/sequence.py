"""What a subscriber got, what it got twice, and what it missed. Pure: no socket, no clock.

A publisher numbers the events of each topic from 1 without holes and names its run (epoch), so
the numbers alone tell. A journal's replay needs nothing else: events that come twice, once live
and once replayed, are told apart here as well.
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
        """How many numbers are missing at least; some may be those of partials."""
        return 0 if self.to_seq is None else self.to_seq - self.from_seq + 1


class Sequence:
    """Position of a subscriber in each topic.

    The first event of a topic sets the position, wherever it is: who joins late does not miss
    what was before. Who was there when the epoch changed, or asked to carry on from a position,
    was to get everything: there a first event above the next expected one follows a gap. So is
    everybody from the first ``baseline`` on.
    """

    def __init__(
        self, epoch: str = "", after: Mapping[str, int] | None = None, floor: int | None = None
    ) -> None:
        """``after``: carry on behind these sequence numbers (per topic) of ``epoch``.

        ``floor``: the number behind which to carry on in all other topics; by default they begin
        with the first event received.
        """
        self.epoch = epoch
        self._last = dict(after or {})
        self._floor = floor

    @property
    def positions(self) -> dict[str, int]:
        """The last number accounted for of each topic of this epoch."""
        return dict(self._last)

    @property
    def floor(self) -> int | None:
        """That of all other topics; None where they begin with the first event received."""
        return self._floor

    def missing(self, topic: str, epoch: str, seq: int) -> Gap | None:
        """What an event's number shows to be missing before it. Changes nothing."""
        if epoch == self.epoch:
            last = self._last.get(topic, self._floor)
        else:
            last = 0 if self.epoch else self._floor
        return Gap(topic, epoch, last + 1, seq - 1) if last is not None and seq > last + 1 else None

    def accept(self, topic: str, epoch: str, seq: int) -> tuple[bool, Gap | None]:
        """Take an event's number: whether to deliver the event, and the gap just before it."""
        gap = self.missing(topic, epoch, seq)
        self.enter(epoch)
        last = self._last.get(topic, self._floor)
        if last is not None and seq <= last:
            return False, None
        self._last[topic] = seq
        return True, gap

    def unpublished(self, epoch: str, last_seq: Mapping[str, int]) -> list[Gap]:
        """What the numbers a publisher had reached show to be missing. Changes nothing.

        They show the loss of events that no later one of their topic has followed yet. Topics of
        which nothing was received are left alone where they begin with the first event.
        """
        gaps = (self.missing(topic, epoch, seq + 1) for topic, seq in last_seq.items())
        return [gap for gap in gaps if gap]

    def published(self, epoch: str, last_seq: Mapping[str, int]) -> list[Gap]:
        """Take the numbers a publisher had reached when it sent its latest event."""
        gaps = self.unpublished(epoch, last_seq)
        self.enter(epoch)
        for gap in gaps:
            self.skip(gap.topic, gap.from_seq + gap.missed - 1)
        return gaps

    def baseline(self, last_seq: Mapping[str, int]) -> bool:
        """All that was published when a late joiner came; what follows in any topic is for it.

        Returns whether this was news.
        """
        if self._floor is not None:
            return False
        for topic, seq in last_seq.items():
            self._last.setdefault(topic, seq)
        self._floor = 0
        return True

    def skip(self, topic: str, through: int) -> None:
        """Account for the numbers up to one: nothing of them will come any more."""
        self._last[topic] = max(self._last.get(topic, self._floor or 0), through)

    def enter(self, epoch: str) -> None:
        """Go on in this epoch. Who was in another one is to get all of it."""
        if epoch != self.epoch:
            if self.epoch:
                self._floor = 0
            self.epoch = epoch
            self._last.clear()
