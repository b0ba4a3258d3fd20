"""Reads a settings file as TOML, or says in one line why it cannot be read."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

from edgeser.regular_file import regular_or_shells
from edgeser.settings.schema import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TWICE = re.compile(r"Cannot declare (?P<names>\(.+\)) twice \((?P<where>.+)\)")
_OVER = re.compile(r"Cannot overwrite a value \((?P<where>.+)\)")
_LINE = re.compile(r"at line (?P<number>\d+),")
_SOURCE = re.compile(r"\s*\[{1,2}\s*source\s*\]")


def read_toml(file: Path) -> dict[str, Any]:
    """What a file holds. Raises SettingsError naming it, the place and the fix."""
    try:
        text = regular_or_shells(file).read_text("utf-8-sig")
    except OSError as error:
        fix = "name a file that this user may read"
        raise SettingsError(f"settings {file}: {error.strerror}", fix) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"settings {file}: not TOML: {error}", "save it as UTF-8") from error
    try:
        tree: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, fix = _explained(str(error), text)
        raise SettingsError(f"settings {file}: {what}", fix) from error
    except RecursionError as error:
        what, fix = "lists or tables are nested too deep", "a value is at most a list of texts"
        raise SettingsError(f"settings {file}: {what}", fix) from error
    except ValueError as error:  # Python reads no whole number of thousands of digits
        what, fix = "a number has thousands of digits", "write a shorter one"
        raise SettingsError(f"settings {file}: {what}", fix) from error
    return tree


def _explained(message: str, text: str) -> tuple[str, str]:
    """What is wrong and how to fix it, from the parser's message, which has keys as tuples."""
    twice, over = _TWICE.fullmatch(message), _OVER.fullmatch(message)
    found = twice or over
    if found and _is_source(found["where"], text):
        what = f"each source is [[source]], not [source] ({found['where']})"
        return what, "write it so in all places"
    if twice:
        section = ".".join(ast.literal_eval(twice["names"]))
        return f"[{section}] is there twice ({twice['where']})", "put its keys below the first one"
    if over:
        return f"a key is set twice ({over['where']})", "delete one"
    return f"not TOML: {message}", "a line is [SECTION] or KEY = VALUE, text in quotes"


def _is_source(where: str, text: str) -> bool:
    """Whether a position in the parser's message is a line that begins a source."""
    line = _LINE.match(where)
    # Not splitlines: TOML knows no other ends of lines.
    return line is not None and bool(_SOURCE.match(text.split("\n")[int(line["number"]) - 1]))
