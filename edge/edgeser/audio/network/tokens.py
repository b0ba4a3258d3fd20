"""Which device is which: a file with a line ``NAME TOKEN`` for each network microphone."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgeser.audio.source import SourceError
from edgeser.regular_file import regular_or_shells

MIN_TOKEN, MAX_TOKEN = 16, 256
MAX_NAME = 120
MAX_DEVICES = 1000

_FIX = "a line is NAME TOKEN, e.g. from: echo kitchen $(openssl rand -hex 16)"


def digest(token: bytes) -> bytes:
    """The hash that replaces a token in memory, so that look-up times reveal nothing about it."""
    return hashlib.sha256(token).digest()


def read_tokens(path: Path) -> dict[bytes, str]:
    """The names of the streams, by the digest of the device's token, in the order of the file.

    Raises SourceError for a file that cannot be read, that others may read or write, or that holds
    another line.
    """
    try:
        mode = path.stat().st_mode
        lines = regular_or_shells(path).read_text("utf-8").splitlines()
    except OSError as error:
        raise SourceError(
            f"tokens {path}: {error.strerror}", "name a file that this user may read"
        ) from error
    except UnicodeDecodeError as error:
        raise SourceError(f"tokens {path}: it is no text", _FIX) from error
    if mode & 0o027:
        raise SourceError(
            f"tokens {path}: others may read it, or its group write to it", f"chmod o=,g-wx {path}"
        )
    found: dict[bytes, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, token = _parsed(line, f"tokens {path}, line {number}")
        if name in found.values() or digest(token) in found:
            raise SourceError(f"tokens {path}, line {number}: its name or token is already used")
        found[digest(token)] = name
    if not 0 < len(found) <= MAX_DEVICES:
        raise SourceError(f"tokens {path}: expected 1 to {MAX_DEVICES}, got {len(found)}", _FIX)
    return found


def _parsed(line: str, where: str) -> tuple[str, bytes]:
    name, _, token = line.strip().rpartition(" ")
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise SourceError(f"{where}: expected a name of at most {MAX_NAME} characters", _FIX)
    if not MIN_TOKEN <= len(token) <= MAX_TOKEN or not token.isascii() or not token.isprintable():
        raise SourceError(
            f"{where}: expected a token of {MIN_TOKEN} to {MAX_TOKEN} letters and digits", _FIX
        )
    return name, token.encode()
