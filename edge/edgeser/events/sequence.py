"""What a subscriber got, what it got twice, and what it missed. Pure: no socket, no clock.

A publisher numbers the events of each topic from 1 without holes and names its run (epoch), so
the numbers alone tell. A journal's replay needs nothing else: events that come twice, once live
and once replayed, are told apart here as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta


class Gap(msgspec.Struct, frozen=True, tag_field="type", tag="gap"):
    """Events of one topic that were published and will not be delivered."""

    topic: str
    epoch: str
    from_seq: Annotated[int, Meta(description="the first that is missing")]
    to_seq: Annotated[int, Meta(description="the last that is missing")]

    @property
    def missed(self) -> int:
        """How many events are missing."""
        return self.to_seq - self.from_seq + 1


class Sequence:
    """Position of a subscriber in each topic.

    The first event of a topic sets the position, wherever it is: who joins late does not miss
    what was before. Who was there when the epoch changed, or asked to carry on from a position,
    was to get everything: there a first event above the next expected one follows a gap.
    """

    def __init__(self, epoch: str = "", after: Mapping[str, int] | None = None) -> None:
        """``after``: carry on behind these sequence numbers (per topic) of ``epoch``."""
        self.epoch = epoch
        self._last = dict(after or {})
        self._from_the_start = False

    def accept(self, topic: str, epoch: str, seq: int) -> tuple[bool, Gap | None]:
        """Take an event's number: whether to deliver the event, and the gap just before it."""
        self._enter(epoch)
        last = self._position(topic)
        if last is None:
            self._last[topic] = seq
            return True, None
        if seq <= last:
            return False, None
        self._last[topic] = seq
        gap = Gap(topic, epoch, last + 1, seq - 1) if seq > last + 1 else None
        return True, gap

    def published(self, epoch: str, last_seq: Mapping[str, int]) -> list[Gap]:
        """Take the numbers a publisher had reached when it sent its latest event.

        They show the loss of events that no later one of their topic has followed yet. Topics of
        which nothing was received are left alone.
        """
        self._enter(epoch)
        gaps = []
        for topic, seq in last_seq.items():
            last = self._position(topic)
            if last is not None and seq > last:
                self._last[topic] = seq
                gaps.append(Gap(topic, epoch, last + 1, seq))
        return gaps

    def _enter(self, epoch: str) -> None:
        if epoch != self.epoch:
            self._from_the_start = self.epoch != ""
            self.epoch = epoch
            self._last.clear()

    def _position(self, topic: str) -> int | None:
        return self._last.get(topic, 0 if self._from_the_start else None)
