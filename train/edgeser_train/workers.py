"""Processes that share a task: workers that end with this one, and those of ``torchrun``."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any

from edgeser.errors import UserError


class Workers(ProcessPoolExecutor):
    """A pool that an error, Ctrl-C or the death of this process ends at once.

    Leaving its ``with`` block raises UserError where a worker died.
    """

    def __init__(self, jobs: int | None, threads: int = 0) -> None:
        """``threads``: how many each worker computes with; 0 leaves that to torch."""
        super().__init__(jobs, multiprocessing.get_context("spawn"), _begin, (threads,))
        self._others = set(multiprocessing.active_children())

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        # Workers inherit the signal mask, so that only this process handles Ctrl-C.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(fn, *args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.shutdown(wait=False, cancel_futures=True)
            for worker in set(multiprocessing.active_children()) - self._others:
                worker.kill()
        super().__exit__(kind, error, trace)
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                "a worker process died, as it does when memory runs out",
                "take fewer --jobs or a smaller batch, and give the same command again; a script "
                "of your own must call this below 'if __name__ == \"__main__\":'",
            ) from error


def is_rank_zero() -> bool:
    """Whether this process, of those that ``torchrun`` started, is the one that writes."""
    return os.environ.get("RANK", "0") == "0"


def _begin(threads: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if threads:
        import torch

        torch.set_num_threads(threads)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
