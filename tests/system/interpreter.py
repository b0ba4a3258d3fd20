"""A fake Python that makes empty environments quickly, and logs pip's arguments in ``pip``.

The commit that it knows of is ``cafe``.
"""

from __future__ import annotations

from pathlib import Path

_TEXT = """#!/bin/sh
case "$1 $2" in
    "-m venv")
        mkdir -p "$3/bin"
        cp "$0" "$3/bin/python"
        echo "command = $3" >"$3/pyvenv.cfg"
        ;;
    "-m pip")
        echo "$*" >"$(dirname "$0")/../pip"
        touch "$(dirname "$0")/edgeser"
        ;;
    "-m edgeser.commit") echo cafe ;;
esac
"""


def write_interpreter(file: Path) -> None:
    """Write it to that file, executable."""
    file.write_text(_TEXT)
    file.chmod(0o755)
