"""A clock of the server that a test can set."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from edgeser.audio.network import server as server_module
from tests.audio.network.serving import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    time_of_server = SimpleNamespace(monotonic=clock.monotonic, sleep=time.sleep)
    monkeypatch.setattr(server_module, "time", time_of_server)
    return clock
