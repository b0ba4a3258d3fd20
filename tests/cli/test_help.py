"""``--help`` is complete, and says the same thing the same way everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from edgeser.cli import main
from edgeser.cli.manual import leaves

COMMANDS = {
    within.command_path: (command, within)
    for command, within in leaves(main, click.Context(main, info_name="edgeser"))
}
GROUPS = [path for path, (command, _) in COMMANDS.items() if isinstance(command, click.Group)]


UNNAMED = {"TEXT", "PATH", "INTEGER", "FLOAT", "RANGE"}
"""What click calls the value of an option that does not name it."""


def options() -> Iterator[tuple[str, click.Option]]:
    for path, (command, _) in COMMANDS.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield f"{path} {parameter.opts[-1]}", parameter


def test_every_option_is_explained_and_names_its_value() -> None:
    for path, option in options():
        assert option.help, path
        shown, _ = option.get_help_record(click.Context(main)) or ("", "")
        assert UNNAMED.isdisjoint(shown.split()), path


def test_an_option_that_may_be_given_several_times_says_so() -> None:
    for path, option in options():
        assert option.multiple == ("(repeatable)" in (option.help or "")), path


def test_a_default_is_written_in_one_form() -> None:
    for path, option in options():
        assert "efault: " not in (option.help or "").replace("  [default: ", ""), path


def test_an_argument_that_may_be_left_out_is_in_brackets() -> None:
    for path, (command, _) in COMMANDS.items():
        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                shown = parameter.metavar or ""
                assert shown.startswith("[") == (not parameter.required), path


@pytest.mark.parametrize("path", GROUPS)
def test_a_group_lists_its_commands_in_whole_sentences(path: str) -> None:
    command, within = COMMANDS[path]
    listed = command.get_help(within).partition("Commands:\n")[2]
    assert listed
    assert "..." not in listed
