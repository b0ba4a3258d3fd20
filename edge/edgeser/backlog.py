"""Windows that wait for the model: every final, and partials only while they are news."""

from __future__ import annotations

import threading
from collections import deque

from edgeser.stream import Stream, Window

MAX_FINALS = 64
"""Finals waiting above which ``put`` blocks: then the source loses samples, which is counted."""


class Backlog:
    """A bounded queue between the threads that cut windows and the worker that runs the model.

    A final never leaves it but to the worker. A partial does when a newer partial of its stream
    comes, or the final of its segment.
    """

    def __init__(self) -> None:
        self._finals: deque[Window] = deque()
        self._partials: dict[Stream, Window] = {}  # in order of arrival
        self._changed = threading.Condition()
        self._in_work = 0
        self._closed = False

    def put(self, window: Window) -> Window | None:
        """Add a window; the partial that it displaced, if any."""
        with self._changed:
            while len(self._finals) >= MAX_FINALS and not self._closed:
                self._changed.wait()
            waiting = self._partials.get(window.stream)
            if window.kind == "final":
                self._finals.append(window)
                displaced = waiting if waiting and waiting.segment <= window.segment else None
                if displaced:
                    del self._partials[window.stream]
            else:
                displaced = self._partials.pop(window.stream, None)
                self._partials[window.stream] = window
            self._changed.notify_all()
            return displaced

    def get(self) -> Window | None:
        """The next window, as soon as there is one; None when closed and empty.

        Call ``done`` when it has been dealt with.
        """
        with self._changed:
            while not self._finals and not self._partials:
                if self._closed:
                    return None
                self._changed.wait()
            self._in_work += 1
            if self._finals:
                window = self._finals.popleft()
            else:
                window = self._partials.pop(next(iter(self._partials)))
            self._changed.notify_all()
            return window

    def done(self) -> None:
        """The window of the last ``get`` has been dealt with."""
        with self._changed:
            self._in_work -= 1
            self._changed.notify_all()

    def wait_until_idle(self) -> None:
        """Return when nothing waits and nothing is in work, or the backlog is closed."""
        with self._changed:
            while (self._finals or self._partials or self._in_work) and not self._closed:
                self._changed.wait()

    def close(self) -> None:
        """No more windows come; those that wait are still given out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
