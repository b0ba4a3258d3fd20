"""The commands in a block of shell, and whether their options exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click

from edgeser.cli import main
from tests.docs.reasons import COMMANDS

_ONLY_SAYS = {"--help", "--dry-run"}
"""Options with which every command runs anywhere."""

_BETWEEN = {"&&", "||", ";", "|", "&", "(", ")"}


def lines(text: str) -> list[str]:
    """The lines of a block, continued ones joined, without those that are empty."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line for line in joined.splitlines() if shlex.split(line, comments=True)]


def commands(line: str) -> Iterator[list[str]]:
    """The commands of a line, in words: no redirections, no variables set before them."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    command: list[str] = []
    aside = False
    for word in words:
        if word in _BETWEEN:
            yield from [command] if command else []
            command = []
        elif set(word) <= set("<>"):
            aside = True
        elif aside:
            aside = False
        elif command or "=" not in word.split("/")[0]:
            command.append(word)
    yield from [command] if command else []


def reason(command: list[str]) -> str | None:
    """Why a command is not run; None if it is to be run."""
    start = rule(command)
    return None if start is None or _ONLY_SAYS & set(command) else COMMANDS[start] or None


def rule(command: list[str]) -> str | None:
    """The longest beginning of a command that is listed in reasons.py."""
    text = " ".join(command)
    fitting = [start for start in COMMANDS if f"{text} ".startswith(start)]
    return max(fitting, key=len, default=None)


def edgeser_words(command: list[str]) -> list[str] | None:
    """The words after ``edgeser``, also after sudo or in a folder; None for another program."""
    for i, word in enumerate(command):
        if word.rsplit("/", 1)[-1] == "edgeser" and i <= 1:
            return command[i + 1 :]
    if command[0] == "torchrun":
        return command[command.index("edgeser") + 1 :]
    return None


def check_options(words: list[str]) -> None:
    """Raises click.UsageError for what the command line would not understand."""
    group: click.Command = main
    context = main.make_context("edgeser", list(words), resilient_parsing=False)
    while isinstance(group, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        name, command, rest = group.resolve_command(context, rest)
        assert command is not None
        if {"-h", "--help"} & set(rest):
            return
        context = command.make_context(name, rest, parent=context)
        group = command
