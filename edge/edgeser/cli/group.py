"""A command of several commands."""

from __future__ import annotations

import click

_WHOLE = 1_000
"""More letters than the first sentence of any help; click cuts off what is beyond a line."""


class Group(click.Group):
    """Lists its commands with the whole first sentence of their help."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        listed = [command for command in self.commands.values() if not command.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(command.name or "", command.get_short_help_str(_WHOLE)) for command in listed]
            )
