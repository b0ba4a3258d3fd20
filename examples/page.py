"""The page on a sound file that is played again and again, without sound hardware. Ctrl-C ends it.

python examples/page.py [FILE] [edgeser page's options]    default: a synthetic voice
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import soundfile
import soxr

from edgeser.bench import SPEECH_FILE

RATE = 16_000
BLOCK = RATE // 50
PAUSE_S = 3.0


def main() -> int:
    """Start a daemon that reads from us, and a page that looks at it."""
    arguments = sys.argv[1:]
    has_file = bool(arguments) and not arguments[0].startswith("-")
    sound = arguments.pop(0) if has_file else str(SPEECH_FILE)
    with tempfile.TemporaryDirectory(prefix="edgeser-page-") as folder:
        endpoint, journal = f"ipc://{folder}/events.sock", f"{folder}/journal.db"
        edgeser = [sys.executable, "-m", "edgeser"]
        daemon = subprocess.Popen(
            [*edgeser, "run", "--source", "-", "--bind", endpoint],
            stdin=subprocess.PIPE,
            env={**os.environ, "EDGESER_JOURNAL_PATH": journal},
        )
        player = threading.Thread(target=play, args=(samples_of(sound), daemon), daemon=True)
        player.start()
        page = subprocess.Popen(
            [*edgeser, "page", "--connect", endpoint, "--journal", journal, *arguments]
        )
        try:
            while page.poll() is None and daemon.poll() is None:
                time.sleep(0.2)
        except KeyboardInterrupt:
            pass
        finally:
            for process in (page, daemon):
                process.terminate()
                process.wait()
    return 0 if page.returncode in (0, -15) else page.returncode


def samples_of(path: str) -> bytes:
    """A sound file as the daemon reads it: raw 16-bit mono at 16 kHz, and a pause behind it."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = soxr.resample(sound.mean(axis=1), rate, RATE)
    noise = np.random.default_rng(1).normal(0, 1e-3, int(PAUSE_S * RATE))
    whole = np.concatenate([mono, noise]).clip(-1, 1)
    return bytes((whole * 32_767).astype("<i2").tobytes())


def play(samples: bytes, daemon: subprocess.Popen[bytes]) -> None:
    """Write the samples to the daemon as fast as a microphone would, for ever."""
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
