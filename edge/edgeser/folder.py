"""All files below a folder, or the reason why not all of them can be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from edgeser.errors import UserError


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in no order. Raises UserError for a folder that cannot be read.

    ``Path.rglob`` skips such a folder silently.
    """
    for parent, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(parent, name) for name in names)


def refuse(error: OSError) -> NoReturn:
    """Say which folder cannot be read. Raises UserError."""
    raise UserError(
        f"{os.path.normpath(error.filename)}: {error.strerror}",
        "change its permissions, or leave it out"
        if isinstance(error, PermissionError)
        else "name another folder",
    ) from error
