"""Run inside the sandbox of the service: tries what it must not be able to do.

python probe.py FILE - writes the names of the attempts that succeeded into FILE, as JSON.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
FOLDERS = (
    "/",
    "/etc",
    "/etc/edgeser",
    "/etc/edgeser/keys",
    "/usr",
    "/opt/edgeser",
    "/var/lib",
    "/run",
    "/srv",
    "/dev/shm",
)


def _write(folder: str) -> Callable[[], object]:
    return lambda: (Path(folder) / "edgeser-probe").write_text("")


def _must(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "refused")


def _set_uid_file() -> None:
    file = Path(os.environ["STATE_DIRECTORY"]) / "probe-setuid"
    file.write_text("")
    try:
        file.chmod(0o4755)
    finally:
        file.unlink()


ATTEMPTS: dict[str, Callable[[], object]] = {
    **{f"write {folder}": _write(folder) for folder in FOLDERS},
    "list /root": lambda: os.listdir("/root"),
    "list /home": lambda: os.listdir("/home"),
    "memory that is written and run": lambda: mmap.mmap(
        -1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    ),
    "raw packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "a network of its own": lambda: _must(LIBC.unshare(CLONE_NEWNET)),
    "mount": lambda: _must(LIBC.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None)),
    "become root": lambda: os.setuid(0),
    "a file with set-uid": _set_uid_file,
    "signal process 1": lambda: os.kill(1, 0),
    "other processes": lambda: Path("/proc/1/status").read_text(),
    "change the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "a real-time thread": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
}


def main() -> None:
    """Make all attempts, and write down those that succeeded."""
    done = []
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
        except OSError:
            continue
        done.append(name)
    Path(sys.argv[1]).write_text(json.dumps(done))


if __name__ == "__main__":
    main()
