"""The model that a settings file names, changed in the file itself: nothing else overrides it."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import msgspec

from edgeser.errors import UserError

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


def choose(file: Path, name: str, replaced: str) -> None:
    """Write the model's name into the settings, whole or not at all, and remember ``replaced``.

    Raises UserError where the file cannot be read, changed or written.
    """
    file = file.resolve()
    try:
        changed = with_model(file.read_text() if file.exists() else "", name)
        _memory(file).write_text(f"{replaced}\n")
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as new:
            try:
                new.write(changed)
                new.flush()
                os.fsync(new.fileno())
                if file.exists():
                    shutil.copymode(file, new.name)
                    facts = file.stat()
                    os.chown(new.name, facts.st_uid, facts.st_gid)
                else:
                    os.chmod(new.name, 0o644)
                os.replace(new.name, file)
            except BaseException:
                os.unlink(new.name)
                raise
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8"
        raise UserError(f"settings {file}: cannot be changed: {why}") from error


def chosen_before(file: Path) -> str:
    """The model that the last ``choose`` replaced. Raises UserError where there was none."""
    memory = _memory(file.resolve())
    try:
        return memory.read_text().rstrip("\n")
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"settings {file}: no model was chosen before ({memory.name} is not there)",
            "choose one with 'edgeser models use'",
        ) from error


def _memory(file: Path) -> Path:
    return file.with_name(f"{file.name}.model-before")
