"""Endpoints that are short enough for a Unix socket, and gone after the test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def endpoint() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        yield f"ipc://{Path(folder) / 'events.sock'}"
