"""Windows that wait for the model: every final, and partials until a newer window replaces them."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque

from edgeser.model.network import MAX_BATCH
from edgeser.window import Window

MAX_FINALS = 64
"""Most finals that wait. ``put`` blocks beyond it: the source loses samples, which is counted."""


class Backlog:
    """A bounded queue between the threads that cut windows and the worker that runs the model.

    A final leaves it only to the worker. A partial is dropped when the next window of its stream
    comes.
    """

    def __init__(self) -> None:
        self._finals: deque[Window] = deque()
        self._partials: dict[str, Window] = {}  # by stream, in order of arrival
        self._in_work: list[Window] = []
        self._working_since: float | None = None
        self._unfinished: Counter[str] = Counter()  # windows that wait or are in work, by stream
        self._closed = self._abandoned = False
        # One condition for each thing to wait for: hundreds of sources may wait, and a change
        # that concerns one of them must not wake all.
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._done: dict[str, threading.Condition] = {}

    def __len__(self) -> int:
        """Windows that wait."""
        return len(self._finals) + len(self._partials)

    @property
    def working_s(self) -> float:
        """Seconds since the worker took its present windows; 0 when it has none."""
        since = self._working_since
        return 0.0 if since is None else time.monotonic() - since

    def put(self, window: Window) -> Window | None:
        """Add a window; a final waits for room. Returns the partial that it displaced, if any."""
        stream, is_final = window.stream, window.kind == "final"
        with self._lock:
            while is_final and len(self._finals) >= MAX_FINALS and not self._abandoned:
                self._room.wait()
            displaced = self._partials.pop(stream, None)
            if is_final:
                self._finals.append(window)
            else:
                self._partials[stream] = window
            self._unfinished[stream] += displaced is None
            self._work.notify()
            return displaced

    def get(self) -> list[Window]:
        """Wait for windows, and return those to run as one batch; [] once closed and empty.

        The first is the oldest final, or else the oldest partial; others follow it that go through
        the same model at the same padded length, finals first, as long as all of them have at most
        ``MAX_BATCH`` pieces and the backend's ``batch_frames``. No window overtakes another of its
        stream that must wait. Call ``done`` when they have been dealt with.
        """
        with self._lock:
            while not len(self):
                if self._closed:
                    return []
                self._work.wait()
            batch = self._next_batch()
            finals = 0
            for window in batch:
                if window.kind == "final":
                    self._finals.remove(window)
                    finals += 1
                else:
                    del self._partials[window.stream]
            self._in_work = batch
            self._working_since = time.monotonic()
            self._room.notify(finals)
            return batch

    def done(self) -> None:
        """The windows of the last ``get`` have been dealt with."""
        with self._lock:
            self._working_since = None
            for window in self._in_work:
                self._unfinished[window.stream] -= 1
                if not self._unfinished[window.stream] and window.stream in self._done:
                    self._done[window.stream].notify_all()
            self._in_work = []

    def wait_until_done(self, stream: str) -> None:
        """Return when no window of a stream waits or is in work, or the backlog is abandoned."""
        with self._lock:
            done = self._done.setdefault(stream, threading.Condition(self._lock))
            while self._unfinished[stream] and not self._abandoned:
                done.wait()

    def close(self) -> None:
        """No more windows come; those that wait are still given out."""
        with self._lock:
            self._closed = True
            self._work.notify_all()

    def abandon(self) -> None:
        """The worker has ended: release everybody who waits for it."""
        with self._lock:
            self._abandoned = True
            for condition in (self._room, *self._done.values()):
                condition.notify_all()

    def _next_batch(self) -> list[Window]:
        waiting = [*self._finals, *self._partials.values()]
        shape = _shape(waiting[0])
        _, length = shape
        most = min(MAX_BATCH, waiting[0].model.backend.batch_frames // length)
        batch: list[Window] = []
        passed_over: set[str] = set()
        pieces = 0
        for window in waiting:
            if _shape(window) != shape:
                passed_over.add(window.stream)
            elif window.stream not in passed_over:
                pieces += window.model.rows(window.speech)
                if batch and pieces > most:
                    break
                batch.append(window)
        return batch


def _shape(window: Window) -> tuple[int, int]:
    """Equal for windows that can share a batch."""
    return id(window.model), window.model.row_frames(window.speech)
