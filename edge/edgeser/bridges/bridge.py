"""What bridges have in common: each connects, hands events on, and connects again."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from edgeser.bridges.figures import Figures
from edgeser.bridges.pauses import Pauses

log = logging.getLogger(__name__)

STEADY_S = 10.0
"""After a connection that lasted this long, the next pause is short again."""


class Bridge(ABC):
    """Hands events on until it is stopped."""

    _away: ClassVar[type[Exception]]
    """The exception for a failure of the other side that may pass."""

    def __init__(self, on_turn: Callable[[], None]) -> None:
        """``on_turn`` is called at least a few times a second, also while the bridge waits."""
        self.figures = Figures()
        self._on_turn = on_turn
        self._stop = threading.Event()

    def stop(self) -> None:
        """End soon; from any thread or a signal's handler."""
        self._stop.set()

    def run(self) -> None:
        """Run until ``stop``. Raises UserError for errors that do not pass by waiting."""
        pauses = Pauses()
        while not self._stop.is_set():
            began, before = time.monotonic(), self._progress
            try:
                self._connection()
            except self._away as error:
                if str(error) != self.figures.trouble:
                    log.warning("%s; trying again, at most a minute apart", error)
                self.figures.trouble = str(error)
            self.figures.connected = False
            if time.monotonic() - began > STEADY_S or self._progress > before:
                pauses.reset()
            until = time.monotonic() + pauses.next_s()
            while time.monotonic() < until and not self._stop.is_set():
                self._on_turn()
                self._stop.wait(0.2)

    @abstractmethod
    def _connection(self) -> None:
        """Connect, and hand events on until that is lost or ``stop``. Raises ``_away``."""

    @property
    @abstractmethod
    def _progress(self) -> int:
        """Increases with each connection that achieved something, however short."""
