"""How long tests wait for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 120.0
"""Long, since the machine may be very busy: a test checks what happens, not when."""


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition; fail when it does not come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
