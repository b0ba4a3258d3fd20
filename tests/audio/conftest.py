"""A device that misbehaves on command, in place of PortAudio."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FAKE = Path(__file__).with_name("fake_portaudio")

Plan = Callable[..., None]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plan:
    """Sets how the device behaves in each run of the capture process."""

    def plan(*runs: dict[str, Any]) -> None:
        monkeypatch.setenv("PYTHONPATH", str(FAKE), prepend=os.pathsep)
        monkeypatch.setenv("FAKE_RUNS", str(tmp_path / "runs"))
        monkeypatch.setenv("FAKE_DEVICE", json.dumps(runs))

    return plan
