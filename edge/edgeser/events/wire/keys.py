"""Keys for CURVE: the identities of daemon and subscribers, and who may connect.

A folder holds ``NAME.secret``, a key pair's secret half, which nobody but its owner may read, and
in ``allowed`` a file for each subscriber that may connect, with its public half. Keys are 40
characters of Z85, as everywhere in ZeroMQ.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq
from zmq.utils import z85

from edgeser.errors import UserError
from edgeser.regular_file import regular_or_shells

SERVER = "server"
"""The daemon's own key pair."""

MAX_ALLOWED = 10_000
MAX_FILE_BYTES = 1024

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")


class KeyFolder:
    """The keys in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._allowed = folder / "allowed"

    def new(self, name: str) -> str:
        """Make a key pair; returns the public key. Raises UserError where there is one."""
        public, secret = zmq.curve_keypair()
        while public.startswith(b"-"):  # a command would take it for an option
            public, secret = zmq.curve_keypair()
        file = self._secret_path(name).name
        _check_links(self.folder)
        _make_folder(self.folder)
        _create(self.folder.resolve(), file, secret, 0o600)
        return public.decode()

    def secret(self, name: str = SERVER) -> bytes:
        """The secret key of that name. Raises UserError where it is missing, wrong or readable
        for others."""
        return read_secret(self._secret_path(name))

    def own(self) -> dict[str, str]:
        """The public key of each key pair, by name."""
        names = sorted(path.stem for path in self.folder.glob("*.secret"))
        return {name: zmq.curve_public(self.secret(name)).decode() for name in names}

    def allow(self, name: str, public: str) -> None:
        """Let the owner of this public key connect. Raises UserError."""
        key = _key(public.encode(), "public key")
        _checked(name)
        _check_links(self._allowed)
        _make_folder(self.folder)
        _make_folder(self._allowed)
        _create(self._allowed, name, key, 0o644)

    def revoke(self, name: str) -> None:
        """Stop admitting it. Raises UserError if it was not allowed."""
        _checked(name)
        _check_links(self._allowed)
        try:
            with _opened(self._allowed) as folder:
                os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            raise UserError(
                f"key '{name}': no allowed key has this name", "'edgeser keys list' lists them"
            ) from None
        except OSError as error:
            raise UserError(f"key '{name}': {error.strerror}") from error

    def allowed(self) -> dict[str, bytes]:
        """The public key of each subscriber that may connect, by name.

        Raises UserError for a file that is no key, or that others could have put there: a list
        that is only partly right is not used.
        """
        try:
            trusted = self._trusted()
            _check_unchangeable(self._allowed, trusted)
            paths = sorted(self._allowed.iterdir())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UserError(f"keys {self._allowed}: {error.strerror}") from error
        found: dict[str, bytes] = {}
        for path in paths:
            if path.name.startswith("."):
                continue
            if len(found) >= MAX_ALLOWED:
                raise UserError(f"keys {self._allowed}: more than {MAX_ALLOWED}")
            found[path.name] = _key(_read(path), f"key {path}")
            _check_unchangeable(path, trusted)
        return found

    def _trusted(self) -> set[int]:
        """Users that may write the list: root and we ourselves; for root, the folder's owner."""
        trusted = {0, os.geteuid()}
        if os.geteuid() == 0:
            trusted.add(self.folder.stat().st_uid)
        return trusted

    def _secret_path(self, name: str) -> Path:
        return self.folder / f"{_checked(name)}.secret"


def read_secret(path: Path) -> bytes:
    """A secret key. Raises UserError where it is missing, wrong or readable for others."""
    key = _key(_read(path), f"key {path}")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise UserError(f"key {path}: others may use it (mode {mode:04o})", f"chmod 600 {path}")
    return key


def read_public(text: str) -> bytes:
    """A public key as a user gives it. Raises UserError."""
    return _key(text.encode("ascii", "replace"), "server key")


def _key(text: bytes, what: str) -> bytes:
    key = text.strip()
    if not _Z85.fullmatch(key.decode("ascii", "replace")) or not _is_number(key):
        raise UserError(f"{what}: expected 40 characters of Z85, as 'edgeser keys new' prints them")
    return key


def _is_number(key: bytes) -> bool:
    """Whether it decodes: five characters of Z85 can exceed the 32 bits that they stand for."""
    try:
        return len(z85.decode(key)) == 32
    except struct.error:
        return False


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UserError(f"key {name!r}: expected a name of letters, digits, '.', '-' and '_'")
    return name


def _read(path: Path) -> bytes:
    try:
        with regular_or_shells(path).open("rb") as file:
            return file.read(MAX_FILE_BYTES)
    except FileNotFoundError as error:
        raise UserError(f"key {path}: {error.strerror}", "'edgeser keys new' makes one") from error
    except OSError as error:
        raise UserError(
            f"key {path}: {error.strerror}", "name a file that this user may read"
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A descriptor of a folder, which stays the folder that it is if a link takes its name."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags)
    except NotADirectoryError:
        raise UserError(
            f"keys {path}: it is a link, or no folder", "remove it, or name another folder"
        ) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _create(folder: Path, name: str, key: bytes, mode: int) -> None:
    """Make a whole file, or none, that belongs to the owner of its folder, whoever runs this."""
    path, flags = folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with (
            _opened(folder) as place,
            os.fdopen(os.open(name, flags, mode, dir_fd=place), "wb", buffering=0) as file,
        ):
            try:
                os.fchmod(file.fileno(), mode)
                owner = os.fstat(place)
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                file.write(key + b"\n")
            except OSError:
                os.unlink(name, dir_fd=place)
                raise
    except FileExistsError:
        raise UserError(f"key {path}: there is one already", "remove it first") from None
    except OSError as error:
        raise UserError(f"key {path}: {error.strerror}") from error


def _make_folder(folder: Path) -> None:
    """Make a folder that belongs to the owner of the one above, whoever runs this."""
    if folder.is_dir():
        return
    try:
        folder.mkdir(mode=0o755, parents=True)
        owner = folder.parent.stat()
        if os.geteuid() == 0:
            os.chown(folder, owner.st_uid, owner.st_gid, follow_symlinks=False)
    except OSError as error:
        raise UserError(
            f"keys {folder}: {error.strerror}", "name another folder with --keys"
        ) from error


def _check_links(folder: Path) -> None:
    """Raises UserError if a link of another user is in the path: it could lead root anywhere."""
    for step in (folder.absolute(), *folder.absolute().parents):
        if step.is_symlink() and step.lstat().st_uid not in (0, os.geteuid()):
            raise UserError(
                f"keys {step}: it is a link of another user", "remove it, or name another folder"
            )


def _check_unchangeable(path: Path, trusted: set[int]) -> None:
    found = path.stat()
    if found.st_mode & 0o022 or found.st_uid not in trusted:
        raise UserError(f"keys {path}: others could add their own keys", f"chmod go-w {path}")
