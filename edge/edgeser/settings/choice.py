"""Changes the model in a settings file itself, so that there is no second place to override it."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from edgeser.errors import UserError
from edgeser.whole_file import write_whole

_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)
_MODEL = re.compile(r"^[ \t]*\[[ \t]*model[ \t]*\][^\n]*\n?", re.MULTILINE)
_NAME = re.compile(r"^[ \t]*name[ \t]*=[^\n]*", re.MULTILINE)


def with_model(text: str, name: str) -> str:
    """The TOML with ``model.name`` set; comments and all else stay.

    Raises UserError where that would change more than the name.
    """
    line = f"name = {json.dumps(name, ensure_ascii=False)}"
    table = _MODEL.search(text)
    if table is None:
        changed = f"{text.rstrip()}\n\n[model]\n{line}\n".lstrip()
    else:
        following = _HEADER.search(text, table.end())
        end = following.start() if following else len(text)
        found = _NAME.search(text, table.end(), end)
        head = text[: table.end()].rstrip("\n")
        if found is None:
            changed = f"{head}\n{line}\n{text[table.end() :]}"
        else:
            changed = text[: found.start()] + line + text[found.end() :]
    try:
        expected = msgspec.toml.decode(text)
        expected["model"] = {**expected.get("model", {}), "name": name}
        right = msgspec.toml.decode(changed) == expected
    except (msgspec.MsgspecError, TypeError):
        right = False
    if not right:
        raise UserError("the settings cannot be changed without harm", f"set model.{line} in them")
    return changed


class Before(NamedTuple):
    """Bytes of a settings file, and of the file beside it that remembers the replaced model; None
    if there was none.
    """

    settings: bytes | None
    memory: bytes | None


def choose(file: Path, name: str, replaced: str) -> Before:
    """Write the model's name into the settings, whole or not at all, and remember ``replaced``.

    Returns what ``put_back`` takes. Raises UserError where the file cannot be read, changed or
    written.
    """
    with _named(file):
        file = file.resolve()
        before = Before(_bytes(file), _bytes(_memory(file)))
        changed = with_model((before.settings or b"").decode(), name)
        if name != replaced:
            _write(_memory(file), f"{replaced}\n".encode())
        _write(file, changed.encode())
        return before


def put_back(file: Path, before: Before) -> None:
    """Undo ``choose``. Raises UserError like it."""
    with _named(file):
        file = file.resolve()
        for path, content in ((file, before.settings), (_memory(file), before.memory)):
            if content is None:
                path.unlink(missing_ok=True)
            else:
                _write(path, content)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Turns errors into a UserError that says which file cannot be changed, and why."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(
            f"settings {file}: there is no folder {file.resolve().parent}",
            "name yours with --settings FILE, or try a model with 'edgeser run --model FILE'",
        ) from error
    except (OSError, UnicodeError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        fix = "try sudo" if isinstance(error, PermissionError) else None
        raise UserError(f"settings {file}: cannot be changed: {why}", fix) from error


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes) -> None:
    """Write a file. A new one is readable for the daemon's account, whatever root's umask is; one
    of another user is refused unless we are root.
    """
    if path.exists() and os.geteuid() not in (0, path.stat().st_uid):
        raise PermissionError(errno.EPERM, "it belongs to another user", str(path))
    write_whole(path, content, None if path.exists() else 0o644)


def chosen_before(file: Path) -> str:
    """The model that the last ``choose`` replaced. Raises UserError where none is known."""
    memory = _memory(file.resolve())
    try:
        return memory.read_text().rstrip("\n")
    except FileNotFoundError:
        why = "is not there"
    except (OSError, UnicodeError) as error:
        why = f"cannot be read: {error.strerror if isinstance(error, OSError) else 'no UTF-8'}"
    raise UserError(
        f"settings {file}: the previous model is not known ({memory.name} {why})",
        "choose one with 'edgeser models use'",
    )


def _memory(file: Path) -> Path:
    return file.with_name(f"{file.name}.model-before")
