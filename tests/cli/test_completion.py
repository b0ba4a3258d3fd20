"""Completion and the manual page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from edgeser.cli import COMMANDS, main
from tests.system.daemons import edgeser


@pytest.mark.parametrize(
    ("shell", "sign"),
    [("bash", "complete -o nosort"), ("zsh", "#compdef edgeser"), ("fish", "complete --no-files")],
)
def test_a_shell_gets_its_script(shell: str, sign: str) -> None:
    assert sign in edgeser("completion", shell).out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("predict ca", "file,ca"),
        ("annotate ca", "file,ca"),
        ("run --source ca", "file,ca"),
        ("run --model str", "plain,streaming6"),
        ("models str", "plain,streaming6"),
        ("models use --settings ed", "file,ed"),
        ("bridge mqtt --password-file pa", "file,pa"),
    ],
)
def test_files_and_models_are_completed(typed: str, offered: str) -> None:
    line = {"COMP_WORDS": f"edgeser {typed}", "COMP_CWORD": str(typed.count(" ") + 1)}
    done = CliRunner().invoke(
        main, prog_name="edgeser", env={**line, "_EDGESER_COMPLETE": "bash_complete"}
    )
    assert offered in done.stdout.splitlines()


def test_commands_are_completed_and_none_is_imported() -> None:
    line = {"COMP_WORDS": "edgeser e", "COMP_CWORD": "1", "_EDGESER_COMPLETE": "bash_complete"}
    code = (
        "import sys\nfrom edgeser.__main__ import run\n"
        "try: run()\n"
        "finally: print({m for m in sys.modules if m.startswith('edgeser.cli.')}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **line}, capture_output=True, text=True
    )
    found = {entry.partition(",")[2] for entry in done.stdout.split()}
    assert found == {name for name in COMMANDS if name.startswith("e")}
    assert done.stderr.strip() == "{'edgeser.cli.output'}"


def test_the_manual_page_has_every_command_and_option() -> None:
    page = edgeser("completion", "man").out
    for name in COMMANDS:
        assert f".SS edgeser {name}\n" in page
    assert ".SS edgeser bench latency\n" in page
    assert r".B \-\-await\-subscriber" in page
    if shutil.which("man"):
        done = subprocess.run(
            ["man", "--warnings", "-l", "-"], input=page, capture_output=True, text=True
        )
        assert done.stderr == ""
