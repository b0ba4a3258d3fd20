"""How long to wait before the next attempt."""

from __future__ import annotations

import random

FIRST_S = 1.0
LONGEST_S = 60.0


class Pauses:
    """Exponential backoff from a second to a minute, each pause up to a fifth longer by chance, so
    that a fleet does not come back to its broker all at once.
    """

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def next_s(self) -> float:
        """The next pause, in seconds."""
        pause_s = self._next_s * random.uniform(1.0, 1.2)
        self._next_s = min(LONGEST_S, self._next_s * 2)
        return pause_s

    def reset(self) -> None:
        """Start again with the shortest pause, after all was well for a while."""
        self._next_s = FIRST_S
