"""The page on a sound file that is played again and again, without sound hardware. Ctrl-C ends it.

python examples/page.py [FILE] [edgeser page's options]    default: a synthetic voice
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from edgeser.audio.file import FileSource
from edgeser.audio.source import AudioFault
from edgeser.bench import SPEECH_FILE
from edgeser.errors import UserError

RATE = 16_000
BLOCK = RATE // 50
PAUSE_S = 3.0


def main() -> int:
    """Start a daemon that reads from this process, and a page that shows its events."""
    arguments = sys.argv[1:]
    has_file = bool(arguments) and not arguments[0].startswith("-")
    sound = arguments.pop(0) if has_file else str(SPEECH_FILE)
    try:
        samples = samples_of(sound)
    except UserError as error:
        print(f"page.py: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    with tempfile.TemporaryDirectory(prefix="edgeser-page-") as folder:
        endpoint, journal = f"ipc://{folder}/events.sock", f"{folder}/journal.db"
        edgeser = [sys.executable, "-m", "edgeser"]
        listen = [*edgeser, "run", "--once", "--source", "-", "--bind", endpoint]
        show = [*edgeser, "page", "--connect", endpoint, "--journal", journal, *arguments]
        environment = {**os.environ, "EDGESER_JOURNAL_PATH": journal}
        with (
            suppress(KeyboardInterrupt),
            running(listen, stdin=subprocess.PIPE, env=environment) as daemon,
            running(show) as page,
        ):
            threading.Thread(target=play, args=(samples, daemon), daemon=True).start()
            while page.poll() is None and daemon.poll() is None:
                time.sleep(0.2)
            return max(page.poll() or 0, daemon.poll() or 0)
    return 0


@contextmanager
def running(command: list[str], **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with this block."""
    process = subprocess.Popen(command, **how)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def samples_of(path: str) -> bytes:
    """A sound file as the daemon reads it: raw 16-bit mono at 16 kHz, followed by a pause.

    Raises UserError if it is not a sound file.
    """
    sound = []
    for item in FileSource(path, fast=True).blocks():
        if isinstance(item, AudioFault):
            print(f"page.py: {item.message}", file=sys.stderr)
        else:
            sound.append(item.samples)
    pause = np.random.default_rng(1).normal(0, 33, int(PAUSE_S * RATE)).astype(np.int16)
    return np.concatenate([*sound, pause]).astype("<i2").tobytes()


def play(samples: bytes, daemon: subprocess.Popen[bytes]) -> None:
    """Write the samples to the daemon at the pace of a microphone, forever."""
    assert daemon.stdin is not None
    begun, blocks, at = time.monotonic(), 0, 0
    try:
        while True:
            daemon.stdin.write(samples[at : at + 2 * BLOCK])
            daemon.stdin.flush()
            blocks, at = blocks + 1, (at + 2 * BLOCK) % len(samples)
            time.sleep(max(0.0, begun + blocks * BLOCK / RATE - time.monotonic()))
    except OSError:  # the daemon ends
        return


if __name__ == "__main__":
    sys.exit(main())
