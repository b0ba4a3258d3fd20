"""The daemon's side of a bridge, and real servers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeser.events.journal.journal import JournalPlace
from edgeser.events.publish.publisher import Publisher
from tests.bridges.mosquitto import Consumer, Mosquitto
from tests.bridges.nats_server import NatsServer


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """The daemon's publisher with a journal."""
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        journal = JournalPlace(Path(folder) / "journal.db")
        with Publisher([f"ipc://{folder}/events.sock"], journal=journal) as publisher:
            yield publisher


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def consumer(broker: Mosquitto) -> Iterator[Consumer]:
    consumer = Consumer(broker.port)
    yield consumer
    consumer.close()
