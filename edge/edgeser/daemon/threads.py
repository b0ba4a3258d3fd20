"""Threads of which none dies unnoticed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgeser.errors import UserError


class Threads:
    """A group of threads. The first exception that ends one of them is kept in ``failure``.

    ``on_end`` is called in each thread as it ends, for whatever reason. ``may_outlast``: the
    process may end while one of them hangs.
    """

    def __init__(self, on_end: Callable[[], None], *, may_outlast: bool = False) -> None:
        self.failure: BaseException | None = None
        self._on_end = on_end
        self._may_outlast = may_outlast
        self._threads: list[threading.Thread] = []

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run ``work`` in a thread of its own. Raises UserError when the machine has no more."""
        thread = threading.Thread(
            target=self._run, args=(work,), name=name, daemon=self._may_outlast
        )
        try:
            thread.start()
        except RuntimeError as error:
            raise UserError(
                f"the thread '{name}' cannot be started ({error})",
                "raise the limit of memory or of tasks, or listen to fewer sources at once",
            ) from error
        self._threads.append(thread)

    def join(self, within_s: float | None = None) -> bool:
        """Wait at most ``within_s`` for each to end. Returns whether all have."""
        for thread in self._threads:
            thread.join(within_s)
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as failure:
            self.failure = self.failure or failure
        finally:
            self._on_end()
