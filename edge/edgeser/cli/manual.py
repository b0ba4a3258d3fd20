"""The manual page, generated from the help of every command."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from edgeser import __version__

_ENDING = """.SH FILES
.TP
.I /etc/edgeser/edgeser.toml
settings of the service
.TP
.I /run/edgeser/events.sock
where it publishes
.TP
.I /var/lib/edgeser/journal.db
what it has published
.SH EXIT STATUS
0: all is well. 1: what was asked for was checked and is not well. 2: something to fix, in one
line on standard error. 130: interrupted.
.SH SEE ALSO
.BR systemctl (1),
.BR journalctl (1)
"""


def manual(group: click.Group) -> str:
    """The page edgeser(1), as roff."""
    context = click.Context(group, info_name="edgeser")
    lines = [
        f'.TH EDGESER 1 "" "edgeser {__version__}"',
        ".SH NAME",
        r"edgeser \- speech in, emotion events out, on the device",
        ".SH SYNOPSIS",
        r".B edgeser\fR \fICOMMAND\fR [\fIARGUMENTS\fR]",
        ".SH DESCRIPTION",
        *_paragraphs(group.help or ""),
        ".SH COMMANDS",
    ]
    for command, within in leaves(group, context):
        lines += _described(command, within)
    return "\n".join(lines) + "\n" + _ENDING


def leaves(
    group: click.Group, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    """Every command below a group, and the context that knows its full name."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        within = click.Context(command, info_name=name, parent=context)
        yield command, within
        if isinstance(command, click.Group):
            yield from leaves(command, within)


def _described(command: click.Command, context: click.Context) -> Iterator[str]:
    yield ".SS " + _text(context.command_path)
    yield ".B " + _text(" ".join([context.command_path, *command.collect_usage_pieces(context)]))
    yield from _paragraphs(command.help or "")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in record[0]:
            yield from (".TP", ".B " + _text(record[0]), _text(record[1]) or r"\&")
    yield from _paragraphs(command.epilog or "")


def _paragraphs(text: str) -> Iterator[str]:
    r"""Paragraphs of a help text; one that begins with ``\b`` keeps its lines."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = paragraph.splitlines()
        kept = lines[:1] == ["\b"]
        yield ".PP"
        if kept:
            yield from (".nf", *map(_text, lines[1:]), ".fi")
        else:
            yield _text(" ".join(line.strip() for line in lines))


def _text(text: str) -> str:
    """Escaped for roff: a line that begins with a dot or quote would be a request."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped[:1] in (".", "'") else escaped
