"""How far a receiver has acknowledged what was handed over to it. Pure: no socket, no clock.

Every event that is handed over gets a ticket. The receiver acknowledges tickets in any order; the
position moves past an event only when that one and all before it are acknowledged. A bridge that
continues from there hands over again what was not acknowledged, and nothing is left out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from edgeser.events.subscribe.catch_up import Position


@dataclass
class _HandedOver:
    ticket: int
    behind: Position | None
    acknowledged: bool


class Cursor:
    """The position of one receiver, and what it has not acknowledged yet."""

    def __init__(self, position: Position | None = None) -> None:
        """``position``: where the receiver continues; None: with new events."""
        self.position = position
        self._handed_over: deque[_HandedOver] = deque()
        self._next_ticket = 0

    @property
    def in_flight(self) -> int:
        """Events that were handed over and are not acknowledged."""
        return sum(not entry.acknowledged for entry in self._handed_over)

    def hand_over(self, behind: Position | None) -> int:
        """Note an event that the receiver is given next; returns its ticket.

        ``behind``: the position just after the event, as ``Subscriber.position`` says it.
        """
        self._next_ticket += 1
        self._handed_over.append(_HandedOver(self._next_ticket, behind, False))
        return self._next_ticket

    def pass_by(self, behind: Position | None) -> None:
        """Note an event that the receiver is not given: it needs no acknowledgement."""
        if not self._handed_over:
            self.position = behind or self.position
        elif self._handed_over[-1].acknowledged:
            self._handed_over[-1].behind = behind
        else:
            self._handed_over.append(_HandedOver(0, behind, True))

    def acknowledge(self, ticket: int) -> None:
        """The receiver has the event of this ticket for good. A ticket may come twice."""
        for entry in self._handed_over:
            if entry.ticket == ticket:
                entry.acknowledged = True
                break
        while self._handed_over and self._handed_over[0].acknowledged:
            self.position = self._handed_over.popleft().behind or self.position
