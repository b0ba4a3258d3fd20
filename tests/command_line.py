"""The command line in the test's own process."""

from __future__ import annotations

from click.testing import CliRunner, Result

from edgeser.cli import main


def edgeser(*words: object) -> Result:
    """What ``edgeser`` with these words answers."""
    return CliRunner().invoke(main, [str(word) for word in words])
