"""A settings file as TOML, and in one line why one is none."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from edgeser.settings.schema import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TWICE = re.compile(r"Cannot declare \('(?P<section>[^']+)',\) twice \((?P<where>.+)\)")
_OVER = re.compile(r"Cannot overwrite a value \((?P<where>.+)\)")


def read_toml(file: Path) -> dict[str, Any]:
    """What a file holds. Raises SettingsError naming it, the place and the fix."""
    try:
        tree: dict[str, Any] = tomllib.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"settings {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"settings {file}: not TOML: {error}", "save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        what, fix = _explained(str(error))
        raise SettingsError(f"settings {file}: {what}", fix) from error
    return tree


def _explained(message: str) -> tuple[str, str]:
    """What is wrong and how to fix it, of what the parser says, which is of keys as tuples."""
    if found := _TWICE.fullmatch(message):
        what = f"[{found['section']}] is there twice ({found['where']})"
        return what, "put its keys below the first one"
    if found := _OVER.fullmatch(message):
        return f"a key is set twice ({found['where']})", "delete one"
    return f"not TOML: {message}", "a line is [SECTION] or KEY = VALUE, text in quotes"
