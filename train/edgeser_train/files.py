"""Files of long work, in folders that one process writes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from glob import escape
from pathlib import Path

from edgeser import whole_file
from edgeser.errors import UserError


def make_folder(folder: Path) -> None:
    """With those above it, where they are missing. Raises OSError, NotADirectoryError where a file
    or a dangling link has its name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file, whole or not at all; its folder is made. Raises UserError when that fails."""
    try:
        make_folder(path.parent)
        whole_file.write_whole(path, content, 0o644)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def check_writable(path: Path) -> None:
    """Before long work: raises UserError where ``write_whole`` could not write that file."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        make_folder(path.parent)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yields a folder to fill, which then becomes that one, whole or not at all.

    One that another process made meanwhile stays. What a killed one left behind is removed; of one
    that is alive it is locked. Raises OSError.
    """
    make_folder(folder.parent)
    for left in folder.parent.glob(f".{escape(folder.name)}.*"):
        _remove_unlocked(left)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    handle = os.open(aside, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # Not every network file system knows locks.
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


def _remove_unlocked(aside: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(aside, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if any(aside.iterdir()):  # an empty one may have yet to be locked
                shutil.rmtree(aside, ignore_errors=True)
        finally:
            os.close(handle)


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """The folder, made where it is missing, for this process alone; left empty, it goes again.

    What a killed ``write_whole`` left behind is removed. Raises UserError where another process
    is in it, or when it cannot be made.
    """
    try:
        make_folder(folder)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{folder}: another edgeser is at work in it",
                "wait for its end, or choose another folder with -o",
            ) from error
        except OSError:  # Not every network file system knows locks.
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
