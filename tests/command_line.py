"""The command line in the test's own process."""

from __future__ import annotations

from click.testing import CliRunner, Result

from edgeser.cli import main


def edgeser(*words: object) -> Result:
    """Run ``edgeser`` with these words; return its result."""
    return CliRunner().invoke(main, [str(word) for word in words])
