"""``edgeser`` and ``python -m edgeser``: the command line as a process of its own."""

from __future__ import annotations

import signal

# First of all: until a command says what Ctrl-C is to finish, it ends the process as it ends any
# other program, and not as a traceback out of whatever is being imported.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from edgeser.cli import main  # noqa: E402
from edgeser.cli.output import guard  # noqa: E402


def run() -> None:
    """The entry point."""
    guard()
    main(prog_name="edgeser")


if __name__ == "__main__":
    run()
