"""The parent's handle on a capture process: reads its messages, and kills it when it stalls."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence

from edgeser.audio.wire import Kind, Message, Parser

_SLICE_S = 0.1
_READ_BYTES = 65_536
_STDERR_KEPT_BYTES = 4_096
_REAP_S = 1.0


class CaptureError(Exception):
    """No more sound comes from this capture process; the message says why.

    ``is_reported``: the process gave the reason itself. ``fix``: what the user can do, if known.
    """

    def __init__(self, message: str, is_reported: bool = False, fix: str | None = None) -> None:
        super().__init__(message)
        self.is_reported = is_reported
        self.fix = fix


class CaptureChild:
    """One run of a capture process."""

    def __init__(self, command: Sequence[str]) -> None:
        # Its own session: Ctrl-C in the terminal is meant for the daemon only.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._stderr = b""

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def set_block_frames(self, frames: int) -> None:
        """Set the length of blocks in frames of 20 ms, 1 to 255, from the next message on."""
        assert self._process.stdin is not None
        # On error the process has ended, which ``messages`` finds out, or was reaped.
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(bytes([frames]))

    def messages(self, open_s: float, stall_s: float, closed: threading.Event) -> Iterator[Message]:
        """Yield messages as they come, until ``closed`` is set.

        Raises CaptureError when the process ends, reports an error, or is silent: for ``open_s``
        before its first audio, for ``stall_s`` after that. Time spent by the caller between two
        messages does not count as silence, nor does time in which this process was suspended.
        """
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        out, err = self._process.stdout.fileno(), self._process.stderr.fileno()
        poll = select.poll()
        for fd in (out, err):
            os.set_blocking(fd, False)
            poll.register(fd, select.POLLIN)
        parser = Parser()
        patience_s = open_s
        deadline = time.monotonic() + patience_s
        while not closed.is_set():
            asked_at = time.monotonic()  # before polling: what has already come is no silence
            ready = [fd for fd, _ in poll.poll(_SLICE_S * 1000)]
            if err in ready and not self._keep_stderr(err):
                poll.unregister(err)
            received = self._read(out) if out in ready else None
            if closed.is_set():
                return
            if received == b"":
                raise CaptureError(f"the capture process ended{self._last_words()}")
            try:
                for message in parser.feed(received or b""):
                    if closed.is_set():
                        return
                    if message.kind is Kind.ERROR:
                        report = message.json()
                        raise CaptureError(
                            str(report["message"]), is_reported=True, fix=report.get("fix")
                        )
                    if message.kind is Kind.AUDIO:
                        patience_s = stall_s
                    yield message
                    deadline = time.monotonic() + patience_s
            except ValueError as error:
                raise CaptureError(f"the capture process is out of step: {error}") from None
            if asked_at > deadline:
                raise CaptureError(f"no sound for {patience_s:g} s{self._last_words()}")

    def kill(self) -> None:
        """Kill the process, whatever it is doing; may be called twice, from any thread."""
        self._process.kill()

    def reap(self) -> None:
        """Kill the process, wait for it and close its pipes."""
        self._process.kill()
        # A process stuck in a driver ends when the driver lets go.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_S)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def _read(self, fd: int) -> bytes | None:
        try:
            return os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return None

    def _keep_stderr(self, fd: int) -> bool:
        received = self._read(fd)
        self._stderr = (self._stderr + (received or b""))[-_STDERR_KEPT_BYTES:]
        return received != b""

    def _last_words(self) -> str:
        lines = self._stderr.decode(errors="replace").strip().splitlines()
        return f" ({lines[-1].strip()})" if lines else ""
