"""Options of the commands that connect to a daemon, a broker or a server."""

from __future__ import annotations

import click

from edgeser.cli.options import PATH, PATH_TEXT, Command


def daemon_options(command: Command) -> Command:
    """``--connect ENDPOINT``, ``--key FILE`` and ``--server-key KEY``: the daemon."""
    for option in (
        click.option("--server-key", metavar="KEY", help="The daemon's public key."),
        click.option(
            "--key",
            metavar="FILE",
            type=PATH,
            help="The subscriber's secret key, for encrypted TCP ('edgeser keys new').",
        ),
        click.option(
            "--connect",
            metavar="ENDPOINT",
            help="Where the daemon publishes.  [default: the socket of your own daemon]",
        ),
    ):
        command = option(command)
    return command


def cursor_options(command: Command) -> Command:
    """``--cursor FILE`` and ``--since TIME|EPOCH:SEQ``: what the other side already has."""
    for option in (
        click.option(
            "--since",
            metavar="TIME|EPOCH:SEQ",
            help="Where the very first run begins: 10m, 2h (ago), a date or an event; 'all': "
            "everything.",
        ),
        click.option(
            "--cursor",
            metavar="FILE",
            type=PATH_TEXT,
            help="File for the position up to which events are delivered.  [default: in "
            "~/.local/state/edgeser]",
        ),
    ):
        command = option(command)
    return command


def login_options(command: Command) -> Command:
    """``--ca FILE``, ``--user NAME`` and ``--password-file FILE``: how both sides authenticate."""
    for option in (
        click.option(
            "--password-file",
            metavar="FILE",
            type=PATH_TEXT,
            help="A file with the password in its first line.",
        ),
        click.option("--user", metavar="NAME", help="User name, with --password-file."),
        click.option(
            "--ca",
            metavar="FILE",
            type=PATH_TEXT,
            help="CA of the server's certificate (PEM).  [default: the system's]",
        ),
    ):
        command = option(command)
    return command


def credentials_option(command: Command) -> Command:
    """``--credentials FILE``: our credentials for NATS."""
    return click.option(
        "--credentials", metavar="FILE", type=PATH_TEXT, help="Credentials: a .creds file."
    )(command)
