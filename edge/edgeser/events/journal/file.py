"""The journal's file on the disk: whose it is, how it is opened, what is wrong with it."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from pathlib import Path
from urllib.parse import quote

from edgeser.events.wire.lock import holder
from edgeser.regular_file import regular

APPLICATION_ID = 0x65647372
"""Marks the file as ours ("edsr"): another program's database is never touched."""

FORMAT = 1

BUSY_S = 1.0
"""How long a connection to the file waits for another, such as the writer for the checkpoint, or
for a deletion."""

_MODE = 0o640

_ASIDE = ".corrupt-"


class ForeignFileError(Exception):
    """There is a file in the journal's place that is not ours, or of a later version.

    The message says what the file is; whoever reports it adds which file.
    """


def make(path: Path) -> None:
    """Make an empty file with our permissions, which SQLite gives to its log as well.

    An existing one is not opened: closing it would drop SQLite's (POSIX) locks on it.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
    except FileExistsError:
        if not path.exists():  # SQLite would make the target, with other permissions
            reason = "it is a symbolic link to nothing; remove it"
            raise OSError(errno.ELOOP, reason, str(path)) from None
        regular(path)


def connect(path: Path) -> sqlite3.Connection:
    """A connection that writes to an existing file; it never makes one.

    Deleted content is overwritten, since free pages stay in the file for a while.
    """
    locator = f"file:{quote(os.fsencode(path))}?mode=rw"
    database = sqlite3.connect(locator, uri=True, isolation_level=None, timeout=BUSY_S)
    database.execute("PRAGMA secure_delete = ON")
    return database


def check_ours(database: sqlite3.Connection) -> None:
    """Raises ForeignFileError for a file that is no journal, or not of a readable format."""
    if database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise ForeignFileError("it is not a journal of edgeser")
    check_format(database.execute("PRAGMA user_version").fetchone()[0])


def check_format(version: int) -> None:
    """Raises ForeignFileError for a format that this version cannot read."""
    if version > FORMAT:
        raise ForeignFileError(f"a later version of edgeser made it (format {version})")
    if version != FORMAT:
        raise ForeignFileError(
            f"it says that its format is {version}, which no version of edgeser has written; "
            "move it away"
        )


def size_of(path: Path) -> int:
    """Bytes of a journal and its log."""
    files = (path.with_name(path.name + suffix) for suffix in ("", "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def shrink(database: sqlite3.Connection, pages: int) -> None:
    """Give at most so many free pages back to the file system.

    Run as a script: ``execute`` would take only the first step of the statement, that is, one page.
    """
    database.executescript(f"PRAGMA incremental_vacuum({pages})")


def lock_of(path: Path) -> Path:
    """The lock beside a journal."""
    return path.with_name(path.name + ".lock")


def is_corrupt(error: BaseException) -> bool:
    """Whether SQLite found the file itself broken, not just out of reach."""
    return type(error) is sqlite3.DatabaseError


def set_aside(path: Path) -> list[Path]:
    """The files that ``move_aside`` has made from those at a path."""
    names = f"{path.name}{_ASIDE}"
    return sorted(file for file in path.parent.iterdir() if file.name.startswith(names))


def move_aside(path: Path) -> Path:
    """Rename a broken file and its log, so that a new one can be made; nothing is deleted."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    number = 0
    while (aside := path.with_name(f"{path.name}{_ASIDE}{stamp}-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    return aside


def in_words(error: BaseException, path: Path) -> str:
    """The reason why the journal does not work, and the fix if there is one."""
    if isinstance(error, BlockingIOError):
        who = holder(lock_of(path))
        return (
            f"{path} is written by {who}; give each daemon a journal.path and a baseline.path "
            "of its own"
        )
    if isinstance(error, OSError):
        return f"{error.filename or path}: {error.strerror}"
    return f"{path}: {error}"
