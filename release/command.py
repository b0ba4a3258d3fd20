"""How the commands of a release end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import NoReturn


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run ``main`` and exit with its code; 2 if a program fails that it starts, which says why."""
    try:
        sys.exit(main())
    except subprocess.CalledProcessError:
        sys.exit(2)
