"""Files and folders of long-running work, each written by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from glob import escape
from pathlib import Path
from typing import TypeVar

from edgeser import whole_file
from edgeser.errors import UserError

T = TypeVar("T")


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents. Raises OSError; NotADirectoryError if a file or a
    dangling link has its name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error


@contextlib.contextmanager
def writing(what: Path | str) -> Iterator[None]:
    """Raises UserError if ``what`` cannot be written in this block."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{what}: cannot be written: {error.strerror or error}") from error


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file atomically, making its folder if needed. Raises UserError when that fails."""
    with writing(path):
        make_folder(path.parent)
        whole_file.write_whole(path, content, 0o644)


def check_writable(path: Path) -> None:
    """Before long work: raises UserError if ``write_whole`` could not write that file."""
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        make_folder(path.parent)
        with tempfile.TemporaryFile(dir=path.parent):
            pass


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder to fill, which is then renamed to ``folder``: atomic as a whole.

    A ``folder`` that another process made meanwhile stays. Temporary folders of killed processes
    are removed; those of live ones are locked. Raises OSError.
    """
    make_folder(folder.parent)
    for left in folder.parent.glob(f".{escape(folder.name)}.*"):
        _remove_unlocked(left)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    handle = os.open(aside, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # Not every network file system supports locks.
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield aside
        try:
            os.rename(aside, folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        os.close(handle)


def cached(folder: Path, fill: Callable[[Path], None], opened: Callable[[Path], T]) -> T:
    """What ``opened`` gives for a folder of the cache, which ``fill`` fills if it is missing.

    Raises UserError if it cannot be written, or ``opened`` finds it damaged: OSError, ValueError,
    EOFError or IndexError.
    """
    with writing(f"cache {folder}"):
        if not folder.is_dir():
            with whole_folder(folder) as aside:
                fill(aside)
    try:
        return opened(folder)
    except (OSError, ValueError, EOFError, IndexError) as error:
        raise UserError(f"cache {folder}: damaged ({error})", "delete it") from error


def _remove_unlocked(aside: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(aside, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if any(aside.iterdir()):  # if empty, its process may not have locked it yet
                shutil.rmtree(aside, ignore_errors=True)
        finally:
            os.close(handle)


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Lock a folder for this process alone. It is made if missing, and removed if left empty.

    Temporary files of a killed ``write_whole`` are removed. Raises UserError if another process
    has locked it, or it cannot be made.
    """
    with writing(folder):
        make_folder(folder)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{folder}: another edgeser is working in it",
                "wait for its end, or choose another folder with -o",
            ) from error
        except OSError:  # Not every network file system supports locks.
            pass
        try:
            for aside in folder.glob(whole_file.ASIDE):
                aside.unlink(missing_ok=True)
            yield
        finally:
            with contextlib.suppress(OSError):
                folder.rmdir()
    finally:
        os.close(handle)
