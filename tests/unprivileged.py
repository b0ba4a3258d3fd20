"""Tests that need a user whom a folder can keep out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

NOBODY = 65_534


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run the block not as root but as ``nobody``, who may not read all files: lazy imports must be
    done before.
    """
    user = os.geteuid()
    if user == 0:
        os.setresuid(NOBODY, NOBODY, user)  # the real one, too: os.access asks for it
    try:
        yield
    finally:
        if user == 0:
            os.setresuid(user, user, user)
