"""The daemon as a benchmark runs it: the same command that a user types, in its own process."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeser.bench.machine import Usage, usage
from edgeser.errors import UserError
from edgeser.events.wire.endpoint import parse_bind_endpoint, replay_endpoint
from edgeser.module_command import module_command
from edgeser.settings.environment import ENVIRONMENT_PREFIX

READY_S = 60.0
"""A daemon that is not ready by then is ill."""

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """To run in a child before its exec: it then gets SIGTERM when this process dies."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class DaemonProcess:
    """A running ``edgeser run``."""

    def __init__(self, arguments: Sequence[str], endpoint: str, log: Path) -> None:
        self.endpoint = endpoint
        self._log = log
        self.started_at = time.monotonic()
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                module_command("edgeser", "run", "--bind", endpoint, *arguments),
                stdin=subprocess.PIPE if "-" in arguments else subprocess.DEVNULL,
                stderr=errors,
                env=_environment(log.with_name("journal.sqlite")),
                preexec_fn=end_with_parent,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until_ready(self) -> float:
        """Seconds from exec to the first block heard. Raises UserError when it ends instead."""
        while "ready:" not in self._log.read_text():
            if self.has_ended:
                raise self.death()
            if time.monotonic() - self.started_at > READY_S:
                raise UserError(f"the daemon was not ready within {READY_S:g} s")
            time.sleep(0.005)
        return time.monotonic() - self.started_at

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def usage(self) -> Usage | None:
        """What it has used until now; None when it has ended."""
        try:
            return usage(self.pid)
        except ProcessLookupError:
            return None

    def check(self) -> None:
        """Raise UserError, in the daemon's own words, if it has ended with an error."""
        if self.process.poll() not in (None, 0):
            raise self.death()

    def death(self) -> UserError:
        """How it ended, in one line: its exit code or signal, and what it said last."""
        code = self.process.wait()
        how = f"ended with {code}" if code >= 0 else f"was killed ({signal.strsignal(-code)})"
        said = self._log.read_text().strip().splitlines() or ["nothing"]
        last = said[-1].removeprefix("edgeser: ")
        return UserError(f"the daemon {how}; its last message: {last}")


@contextmanager
def daemon(
    arguments: Sequence[str], *, transport: str = "ipc", settings: str | None = None
) -> Iterator[DaemonProcess]:
    """A daemon on an endpoint of its own, which is ended with the block, whatever happens in it.

    ``transport``: ``ipc`` or ``tcp`` (a free port of the loopback interface). ``settings``:
    text of a settings file. Raises UserError where the temporary folder's name is too long.
    """
    with tempfile.TemporaryDirectory(prefix="edgeser-bench-") as folder:
        endpoint = f"ipc://{folder}/events.sock"
        if transport == "tcp":
            endpoint = f"tcp://127.0.0.1:{_free_port()}"
        try:
            replay_endpoint(parse_bind_endpoint(endpoint))
        except UserError as error:
            raise UserError(error.what, "set TMPDIR to a folder with a shorter name") from error
        if settings is not None:
            file = Path(folder) / "settings.toml"
            file.write_text(settings)
            arguments = ["--settings", str(file), *arguments]
        running = DaemonProcess(arguments, endpoint, Path(folder) / "log")
        try:
            yield running
        finally:
            running.process.terminate()
            try:
                running.process.wait(5)
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
            if running.process.stdin is not None:
                with suppress(BrokenPipeError):  # unread input
                    running.process.stdin.close()


def _environment(journal: Path) -> dict[str, str]:
    """This process's environment without settings: the benchmark sets those of the daemon.

    The journal is part of what is measured, and is the daemon's own.
    """
    others = {k: v for k, v in os.environ.items() if not k.startswith(ENVIRONMENT_PREFIX)}
    return {**others, f"{ENVIRONMENT_PREFIX}JOURNAL_PATH": str(journal)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
