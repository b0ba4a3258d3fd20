"""How long a test waits for what is to happen."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 120.0
"""A machine may be very busy: a test waits long, and fails for what happens, not for when."""


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition; fail when it does not come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
