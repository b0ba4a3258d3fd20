"""Endpoints that are short enough for a Unix socket, and publishers that keep a journal."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from edgeser.events.journal import journal
from edgeser.events.journal.journal import JournalPlace
from edgeser.events.publish import publisher
from edgeser.events.publish.publisher import Publisher

from .helpers import PATIENCE_S, Start


@pytest.fixture(autouse=True)
def a_busy_machine_is_no_broken_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait long for a slow disk; tests of a disk that hangs set their own patience."""
    monkeypatch.setattr(journal, "PATIENCE_S", PATIENCE_S)
    monkeypatch.setattr(journal, "CLOSE_S", PATIENCE_S)
    monkeypatch.setattr(publisher, "CLOSE_S", PATIENCE_S)


@pytest.fixture
def endpoint() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        yield f"ipc://{Path(folder) / 'events.sock'}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def start(endpoint: str, file: Path) -> Iterator[Start]:
    """Start a publisher that keeps a journal; one at a time."""
    started: list[Publisher] = []

    def begin() -> Publisher:
        for earlier in started:
            earlier.close()
        started.append(Publisher([endpoint], journal=JournalPlace(file, retry_s=0.1)))
        return started[-1]

    yield begin
    started[-1].close()


@pytest.fixture
def wire(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    """A socket that publishes whatever it is given."""
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.rcvtimeo = 120_000
    socket.bind(endpoint)
    yield socket
    context.destroy(linger=0)
