"""Commands that run in processes of their own, and what they log."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pyarrow import dataset

from edgeser.events.publish.publisher import Publisher
from tests.patience import PATIENCE_S

EDGESER = [sys.executable, "-m", "edgeser"]


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition; fail when it does not come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.1)


class Running:
    """A running command, and its log."""

    def __init__(self, log: Path, *command: str) -> None:
        self._log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen([*EDGESER, *command], stderr=errors)

    @property
    def log(self) -> list[str]:
        return self._log.read_text().splitlines()

    def says(self, part: str) -> str:
        """Wait for a line of the log with this in it; return the first."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            if found := [line for line in self.log if part in line]:
                return found[0]
            assert time.monotonic() < deadline, (part, self.log)
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def bridging(
    kind: str, publisher: Publisher, server: str, folder: Path, *options: str
) -> Iterator[Running]:
    """A bridge, ``mqtt`` or ``nats``, of what a publisher publishes."""
    running = Running(
        folder / "bridge.log",
        *("bridge", kind, server, "--connect", publisher.endpoints[0]),
        *("--cursor", str(folder / f"{kind}.cursor")),
        *options,
    )
    try:
        yield running
        assert "Traceback" not in "".join(running.log)
    finally:
        running.kill()


@contextmanager
def to_nats(publisher: Publisher, url: str, folder: Path, *options: str) -> Iterator[Running]:
    """A bridge to NATS of the device ``hall`` in ``berlin``, from its journal's beginning on."""
    whose = ("--site", "berlin", "--device", "hall", "--since", "all")
    with bridging("nats", publisher, url, folder, *whose, *options) as bridge:
        yield bridge


def fill(url: str, lake: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*EDGESER, "lake", "fill", url, "-o", str(lake), "--every", "1", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@contextmanager
def filling(url: str, lake: Path, *options: str) -> Iterator[Running]:
    """Fill the lake once a second during the block, which begins when the stream exists."""
    folder = Path(tempfile.mkdtemp(dir=lake.parent))
    filler = Running(folder / "log", "lake", "fill", url, "-o", str(lake), "--every", "1", *options)
    try:
        filler.says("takes from")
        yield filler
        assert "Traceback" not in "".join(filler.log)
    finally:
        filler.kill()


def ask(lake: Path, *question: str) -> list[dict[str, object]]:
    command = [*EDGESER, "lake", "ask", str(lake), *question, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def keys(lake: Path, table: str = "finals") -> list[tuple[str, str, int]]:
    """What is in a table: device, epoch, seq."""
    parts = sorted(map(str, (lake / table).glob("day=*/part-*.parquet")))
    if not parts:
        return []
    found = dataset.dataset(parts).to_table(columns=["device", "epoch", "seq"])
    return list(zip(*(found[name].to_pylist() for name in found.column_names), strict=True))
