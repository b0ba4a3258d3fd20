"""Follow the events of a daemon that somebody else starts, stops and restarts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgeser import Gap, Subscriber
from edgeser.events.schema import AnyEvent, EmotionEvent, FaultEvent, StatusEvent


class Listener:
    """All events since the beginning, in order of arrival."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self._changed = threading.Condition()

    @property
    def finals(self) -> list[EmotionEvent]:
        return [e for e in self.events if isinstance(e, EmotionEvent) and e.kind == "final"]

    @property
    def faults(self) -> list[str]:
        """Codes of the faults."""
        return [event.code for event in self.events if isinstance(event, FaultEvent)]

    @property
    def states(self) -> list[str]:
        """States of the status events."""
        return [event.state for event in self.events if isinstance(event, StatusEvent)]

    @property
    def epochs(self) -> list[str]:
        """One for each start of the daemon."""
        return list(dict.fromkeys(event.epoch for event in self.events))

    def wait_for(self, condition: Callable[[Listener], object], timeout_s: float = 100) -> None:
        """Wait until ``condition`` of this listener holds."""
        with self._changed:
            holds = self._changed.wait_for(lambda: condition(self), timeout_s)
        assert holds, f"it did not come true; {self.faults}, {self.states[-5:]}"

    def _follow(self, subscriber: Subscriber, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                item = next(subscriber)
            except TimeoutError:
                continue
            if not isinstance(item, Gap):
                with self._changed:
                    self.events.append(item)
                    self._changed.notify_all()


@contextmanager
def listening(endpoint: str) -> Iterator[Listener]:
    """Follow what is published at ``endpoint``, whether there is a daemon or not."""
    listener = Listener()
    stop = threading.Event()
    with Subscriber(endpoint, timeout_s=0.1) as subscriber:
        thread = threading.Thread(target=listener._follow, args=(subscriber, stop))
        thread.start()
        try:
            yield listener
        finally:
            stop.set()
            thread.join()
