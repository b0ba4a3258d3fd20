"""Windows that wait for the model: every final, and partials only while they are news."""

from __future__ import annotations

import threading
import time
from collections import deque

from edgeser.stream import Window

MAX_FINALS = 64
"""Finals waiting above which ``put`` blocks: then the source loses samples, which is counted."""

MAX_BATCH = 16
"""Pieces run at once: more would make the first wait for the last."""


class Backlog:
    """A bounded queue between the threads that cut windows and the worker that runs the model.

    A final never leaves it but to the worker. A partial does when a newer partial of its stream
    comes, or the final of its segment.
    """

    def __init__(self) -> None:
        self._finals: deque[Window] = deque()
        self._partials: dict[str, Window] = {}  # by stream, in order of arrival
        self._changed = threading.Condition()
        self._working_since: float | None = None
        self._closed = False

    def __len__(self) -> int:
        """Windows that wait."""
        return len(self._finals) + len(self._partials)

    @property
    def working_s(self) -> float:
        """Seconds that the windows in hand have been in work; 0 when none are."""
        since = self._working_since
        return 0.0 if since is None else time.monotonic() - since

    def put(self, window: Window) -> Window | None:
        """Add a window; the partial that it displaced, if any."""
        with self._changed:
            while len(self._finals) >= MAX_FINALS and not self._closed:
                self._changed.wait()
            waiting = self._partials.get(window.stream.name)
            if window.kind == "final":
                self._finals.append(window)
                displaced = waiting if waiting and waiting.segment <= window.segment else None
                if displaced:
                    del self._partials[window.stream.name]
            else:
                displaced = self._partials.pop(window.stream.name, None)
                self._partials[window.stream.name] = window
            self._changed.notify_all()
            return displaced

    def get(self) -> list[Window]:
        """The next windows, as soon as there is one, to be run as one batch; [] when all is over.

        The first is the oldest final, or else the oldest partial; others follow it that go through
        the same model at the same padded length, finals first, as long as all of them have at most
        ``MAX_BATCH`` pieces and the backend's ``batch_frames``. No window overtakes another of its
        stream that must wait. Call ``done`` when they have been dealt with.
        """
        with self._changed:
            while not len(self):
                if self._closed:
                    return []
                self._changed.wait()
            waiting = [*self._finals, *self._partials.values()]
            shape = _shape(waiting[0])
            _, length = shape
            most = min(MAX_BATCH, waiting[0].stream.model.backend.batch_frames // length)
            batch: list[Window] = []
            passed_over: set[str] = set()
            pieces = 0
            for window in waiting:
                if _shape(window) != shape:
                    passed_over.add(window.stream.name)
                elif window.stream.name not in passed_over:
                    pieces += len(window.pieces)
                    if batch and pieces > most:
                        break
                    batch.append(window)
            for window in batch:
                if window.kind == "final":
                    self._finals.remove(window)
                else:
                    del self._partials[window.stream.name]
            self._working_since = time.monotonic()
            self._changed.notify_all()
            return batch

    def done(self) -> None:
        """The windows of the last ``get`` have been dealt with."""
        with self._changed:
            self._working_since = None
            self._changed.notify_all()

    def wait_until_idle(self) -> None:
        """Return when nothing waits and nothing is in work, or the backlog is closed."""
        with self._changed:
            while (len(self) or self._working_since is not None) and not self._closed:
                self._changed.wait()

    def close(self) -> None:
        """No more windows come; those that wait are still given out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _shape(window: Window) -> tuple[int, int]:
    """Equal for windows that can share a batch."""
    model = window.stream.model
    return id(model), model.padded_length(len(window.pieces[0]))
