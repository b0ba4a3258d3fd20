"""The command that runs a module of ours in a process of its own."""

from __future__ import annotations

import sys

_PROGRAM = (
    "import sys; sys.path[:] = filter(None, sys.path); from runpy import run_module; "
    "run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
"""The empty entry is the current folder. The modules imported before it is removed are built in."""


def module_command(module: str, *arguments: str) -> list[str]:
    """Run ``module`` as ``python -m`` does, but never with a file of the current folder.

    Anybody may have put a ``json.py`` into /tmp, and one's own folder may hold an ``edgeser.py``.
    """
    return [sys.executable, "-c", _PROGRAM, module, *arguments]
