"""Stands in for sounddevice in a capture process: a device that misbehaves as FAKE_DEVICE says.

The samples are a clock: frame k since the machine's start is ``k % PERIOD`` in channel 0, and half
of it in the others, so that a test sees exactly which frames it got. From the first frame on,
they are this process's clock, too: how late a busy machine reads them does not show.
FAKE_DEVICE is JSON; a list holds one item per run of the process, the last one for all later runs.
FAKE_RUNS is the file that counts the runs.
"""

from __future__ import annotations

import array
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PERIOD = 30_011

_monotonic = time.monotonic


class PortAudioError(Exception):
    pass


def _this_run() -> dict[str, Any]:
    runs = Path(os.environ["FAKE_RUNS"])
    number = len(runs.read_bytes()) if runs.exists() else 0
    with runs.open("ab") as file:
        file.write(b".")
    plan = json.loads(os.environ["FAKE_DEVICE"])
    found: dict[str, Any] = plan[min(number, len(plan) - 1)]
    return found


_run = _this_run()
if _run.get("missing"):
    raise OSError("PortAudio library not found")
if _run.get("hangs"):
    time.sleep(600)

_rate = _run.get("rate", 16_000)
_channels = _run.get("channels", 1)
_frames_per_s = _rate * _run.get("speed", 1.0)
"""By this machine's clock; ``speed`` makes it differ from the rate that the device states."""

_devices = [
    {
        "name": name,
        "max_input_channels": _channels,
        "default_samplerate": float(_rate),
        "hostapi": 0,
    }
    for name in _run.get("names", ["Fake USB", "Fake Line"])
]
_devices.insert(
    0, {"name": "Speaker", "max_input_channels": 0, "default_samplerate": 48_000.0, "hostapi": 0}
)
default = SimpleNamespace(device=[_run.get("default", 1), 0])


def query_devices() -> list[dict[str, Any]]:
    return _devices


def query_hostapis() -> list[dict[str, Any]]:
    return [{"name": "Fake"}]


def check_input_settings(device: int, channels: int, dtype: str, samplerate: float) -> None:
    assert device > 0
    assert dtype == "int16"
    if (samplerate, channels) != (_rate, _channels):
        raise PortAudioError("Invalid sample rate")


class RawInputStream:
    latency = 0.0
    read_available = 0

    def __init__(self, **settings: Any) -> None:
        check_input_settings(
            settings["device"], settings["channels"], settings["dtype"], settings["samplerate"]
        )
        print("libraries print to standard output, too")
        self._reads = 0

    def start(self) -> None:
        self._next = round(_monotonic() * _frames_per_s)

    def read(self, frames: int) -> tuple[bytes, bool]:
        self._reads += 1
        if self._reads == _run.get("dies_at"):
            raise PortAudioError("Device unavailable")
        if self._reads == _run.get("stalls_at"):
            time.sleep(600)
        overflowed = self._reads in _run.get("overflows_at", [])
        if overflowed or self._reads in _run.get("drops_at", []):
            self._next += round(0.5 * _rate)
        self._next += frames
        captured_at = self._next / _frames_per_s
        time.sleep(max(0.0, captured_at - _monotonic()))
        time.monotonic = lambda: captured_at
        values = array.array("h")
        for frame in range(self._next - frames, self._next):
            values.append(frame % PERIOD)
            values.extend([frame % PERIOD // 2] * (_channels - 1))
        return values.tobytes(), overflowed
