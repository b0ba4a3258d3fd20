"""A lock file that names its holder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FileLock:
    """Held by one process at a time; the kernel drops it with the process."""

    def __init__(self, path: Path) -> None:
        """Raises ``BlockingIOError`` where another holds it, ``OSError`` otherwise."""
        self.path = path
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(path, flags, 0o660)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_current():
                    os.ftruncate(self._descriptor, 0)
                    os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
                    return
            except BaseException:
                os.close(self._descriptor)
                raise
            os.close(self._descriptor)

    def release(self) -> None:
        """Remove the file and release the lock."""
        try:
            self.path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)

    def _is_current(self) -> bool:
        """Whether the locked file is still the one in the folder: its last holder may have removed
        it."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._descriptor))


def holder_pid(path: Path) -> int | None:
    """The process that holds a lock now; None if none does, or it has not written its pid yet."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if _is_free(descriptor):
            return None
        return int(os.pread(descriptor, 20, 0))
    except (OSError, ValueError):  # locked, but the pid is not written yet
        return None
    finally:
        os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holder(path: Path) -> str:
    """The holder of a lock, in words."""
    try:
        return f"pid {int(path.read_bytes()[:20])}"
    except (OSError, ValueError):
        return "another process"
