"""A thread that fails is known, and one that cannot begin is the user's to fix."""

from __future__ import annotations

import threading

import pytest

from edgeser.daemon.threads import Threads
from edgeser.errors import UserError


def test_the_first_failure_is_kept_and_every_end_is_told() -> None:
    ends: list[None] = []
    threads = Threads(lambda: ends.append(None))

    def fail() -> None:
        raise ValueError("broken")

    threads.start("well", lambda: None)
    threads.start("ill", fail)
    threads.join()
    assert isinstance(threads.failure, ValueError)
    assert len(ends) == 2


def test_a_machine_without_room_for_another_thread_says_so_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")  # what Python says under a limit of memory

    threads = Threads(lambda: None)
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(UserError, match="the thread 'mic' cannot be started") as error:
        threads.start("mic", lambda: None)
    assert error.value.fix
    threads.join()
