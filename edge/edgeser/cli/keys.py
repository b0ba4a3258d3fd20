"""``edgeser keys``: key pairs of daemons and subscribers, and who may connect over TCP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.group import Group
from edgeser.cli.options import PATH, Command, json_option, settings_option

if TYPE_CHECKING:
    from edgeser.events.wire.keys import KeyFolder


def folder_option(command: Command) -> Command:
    """``--keys FOLDER``, or the one in the settings."""
    return click.option(
        "--keys",
        "folder",
        metavar="FOLDER",
        type=PATH,
        help="Folder of the keys.  [default: that of the settings]",
    )(settings_option(command))


@click.group(cls=Group)
def keys() -> None:
    """Make and allow keys for encrypted TCP (CURVE).

    Example: edgeser keys list

    \b
    On the device:      edgeser keys new server        (prints the daemon's public key)
    At the subscriber:  edgeser keys new phone         (prints the phone's public key)
    On the device:      edgeser keys allow phone 'KEY' and reload the daemon

    See docs/security.md.
    """


@keys.command()
@click.argument("name")
@folder_option
def new(name: str, folder: Path | None, settings_file: Path | None) -> None:
    """Make a key pair and print its public key; the secret key stays in NAME.secret.

    Example: edgeser keys new server
    """
    click.echo(_folder(folder, settings_file).new(name))


# A public key may begin with a dash, so unknown options are values. There is no -h, which would be
# recognised inside such a key as one of several combined short options.
@keys.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
)
@click.argument("name")
@click.argument("public_key")
@folder_option
def allow(name: str, public_key: str, folder: Path | None, settings_file: Path | None) -> None:
    """Allow a public key to connect, after the daemon is reloaded.

    Example: edgeser keys allow phone 'Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID'
    """
    _folder(folder, settings_file).allow(name, public_key)
    click.echo(f"{name} is allowed; reload the daemon (systemctl reload edgeser, or SIGHUP)")


@keys.command()
@click.argument("name")
@folder_option
def revoke(name: str, folder: Path | None, settings_file: Path | None) -> None:
    """Revoke an allowed key; takes effect when the daemon is reloaded.

    Example: edgeser keys revoke phone
    """
    _folder(folder, settings_file).revoke(name)
    click.echo(f"{name} is revoked; reload the daemon (systemctl reload edgeser, or SIGHUP)")


@keys.command("list")
@folder_option
@json_option
def list_(folder: Path | None, settings_file: Path | None, as_json: bool) -> None:
    """List own public keys and allowed ones.

    Example: edgeser keys list
    """
    import msgspec

    found = _folder(folder, settings_file)
    own = found.own()
    allowed = {name: key.decode() for name, key in found.allowed().items()}
    if as_json:
        click.echo(msgspec.json.encode({"own": own, "allowed": allowed}).decode())
        return
    for kind, named in (("own", own), ("allowed", allowed)):
        for name, public in named.items():
            click.echo(f"{kind:<8} {name:<20} {public}")
    if not own and not allowed:
        click.echo(f"No keys in {found.folder}; 'edgeser keys new server' makes the daemon's.")


def _folder(folder: Path | None, settings_file: Path | None) -> KeyFolder:
    from edgeser.events.wire.keys import KeyFolder
    from edgeser.settings.load import load_daemon_settings

    return KeyFolder(folder or load_daemon_settings(settings_file).events.key_folder)
