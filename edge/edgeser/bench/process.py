"""The daemon as a benchmark runs it: the same command that a user types, in its own process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgeser.errors import UserError


class DaemonProcess:
    """A running ``edgeser run``."""

    def __init__(self, arguments: Sequence[str], endpoint: str, log: Path) -> None:
        self.endpoint = endpoint
        self._log = log
        self.started_at = time.monotonic()
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edgeser", "run", "--bind", endpoint, *arguments],
                stdin=subprocess.PIPE if "-" in arguments else subprocess.DEVNULL,
                stderr=errors,
                # The journal is part of what is measured, and nobody else's.
                env={**os.environ, "EDGESER_JOURNAL_PATH": str(log.with_name("journal.sqlite"))},
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until_ready(self, timeout_s: float = 60) -> float:
        """Seconds from exec to the first block heard. Raises UserError when it ends instead."""
        while "ready:" not in self._log.read_text():
            self.check()
            if time.monotonic() - self.started_at > timeout_s:
                raise UserError(f"the daemon was not ready within {timeout_s:g} s")
            time.sleep(0.005)
        return time.monotonic() - self.started_at

    def check(self) -> None:
        """Raise UserError, in the daemon's own words, if it has ended with an error."""
        if self.process.poll() not in (None, 0):
            lines = self._log.read_text().strip().splitlines() or ["it said nothing"]
            reason = lines[-1].removeprefix("edgeser: ")
            raise UserError(f"the daemon ended with {self.process.returncode}: {reason}")


@contextmanager
def daemon(
    arguments: Sequence[str], *, transport: str = "ipc", settings: str | None = None
) -> Iterator[DaemonProcess]:
    """A daemon on an endpoint of its own, gone with the block, whatever happens in it.

    ``transport``: ``ipc`` or ``tcp`` (a free port of the loopback interface). ``settings``:
    text of a settings file.
    """
    with tempfile.TemporaryDirectory(prefix="edgeser-bench-") as folder:
        endpoint = f"ipc://{folder}/events.sock"
        if transport == "tcp":
            endpoint = f"tcp://127.0.0.1:{_free_port()}"
        if settings is not None:
            file = Path(folder) / "settings.toml"
            file.write_text(settings)
            arguments = ["--settings", str(file), *arguments]
        running = DaemonProcess(arguments, endpoint, Path(folder) / "log")
        try:
            yield running
        finally:
            if running.process.stdin is not None:
                running.process.stdin.close()
            running.process.terminate()
            try:
                running.process.wait(5)
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
