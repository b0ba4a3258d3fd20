"""A real nats-server, which may be killed and started again."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.patience import PATIENCE_S
from tests.ports import free_port

FETCHED = Path(__file__).parents[2] / "build/nats-server/usr/sbin/nats-server"
"""The one that tools/nats-server fetches if the distribution's is too old."""

PROGRAM = (
    os.environ.get("NATS_SERVER")
    or (str(FETCHED) if FETCHED.exists() else shutil.which("nats-server"))
    or "/usr/sbin/nats-server"
)


@functools.cache
def version() -> str:
    """The server's version, e.g. ``2.10.27``."""
    printed = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    return printed.stdout.split()[-1].removeprefix("v")


def durability() -> str:
    """The setting with which acknowledged events survive a power cut, if the server has it."""
    numbers = tuple(int(number) for number in version().split(".")[:2])
    return "sync_interval: always" if numbers >= (2, 10) else ""


class NatsServer:
    """A server with JetStream at a port of its own on this machine."""

    def __init__(self, folder: Path, settings: str = "", jetstream: str = "") -> None:
        """``settings``: more lines of its file; ``jetstream``: more lines of that table."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.file = folder / "nats.conf"
        self.file.write_text(
            f"listen: 127.0.0.1:{self.port}\n"
            f"jetstream {{ store_dir: {folder / 'store'}\n{durability()}\n{jetstream}\n}}\n"
            f"{settings}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it takes connections and its store is read."""
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen([PROGRAM, "-c", str(self.file)], stderr=log, stdout=log)
        log.close()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                    if probe.recv(4) == b"INFO":
                        return
            except OSError:
                pass
            assert time.monotonic() < deadline, "nats-server takes no connections"
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it with SIGKILL, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop the process, which looks like a cut network: connections stay, nothing comes."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
