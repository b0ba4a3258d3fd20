"""One daemon's publisher and one page for the tests of a file; they share little and are quick."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .world import Daemon, PageProcess, chromium, emotion, fault, page_of, speech, write_journal

PAST = float(int(time.time()) - 10 * 86_400)
"""When the events of the journal were published that the tests search: not too old to be kept."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="edgeser-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def daemon(folder: Path) -> Iterator[Daemon]:
    past = [
        (PAST, speech(1)),
        (PAST + 3, speech(1, end=3.0)),
        (PAST + 3, emotion("happy", segment=1, kind="final", end=3.0)),
        (PAST + 3600, emotion("angry", segment=2, kind="final", end=2.0, stream="door")),
        (PAST + 3700, fault("=cmd|' /C calc'!A1")),
        (PAST + 90_000, emotion("sad", segment=3, kind="final", end=4.0)),
        (time.time() - 30, emotion("neutral", segment=4, kind="final", end=1.5)),
    ]
    write_journal(folder / "journal.db", past)
    daemon = Daemon(f"ipc://{folder}/events.sock", folder / "journal.db")
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(daemon: Daemon, folder: Path) -> Iterator[PageProcess]:
    with page_of(daemon, folder) as page:
        yield page
