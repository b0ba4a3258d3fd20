"""What a stream has lost: counted where it is lost, reported by the next emotion event."""

from __future__ import annotations

from threading import Lock

from edgeser.events.schema import Lost


class Losses:
    """Shared by the thread that hears and the one that decides."""

    def __init__(self) -> None:
        self._samples = self._windows = 0
        self._lock = Lock()

    def add(self, *, samples: int = 0, windows: int = 0) -> None:
        """Count samples that were never heard, or windows that were dropped before inference."""
        with self._lock:
            self._samples += samples
            self._windows += windows

    def take(self) -> Lost:
        """What was lost since the last call."""
        with self._lock:
            lost = Lost(self._samples, self._windows)
            self._samples = self._windows = 0
        return lost
