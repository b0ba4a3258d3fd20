"""``edgeser mute``: what the daemon hears does not count while a loudspeaker beside it talks."""

from __future__ import annotations

import click

from edgeser.cli.options import Number, json_option
from edgeser.errors import UserError


@click.command()
@click.argument("state", required=False, type=click.Choice(["on", "off"]), metavar="[on|off]")
@click.option(
    "--for",
    "for_s",
    metavar="SECONDS",
    type=Number(min=0, max=86_400, min_open=True),
    help="Unmute automatically after this long; 'on' may then be left out.",
)
@click.option(
    "--connect",
    metavar="ENDPOINT",
    help="Where the daemon publishes: ipc://PATH.  [default: the socket of your own daemon]",
)
@json_option
def mute(state: str | None, for_s: float | None, connect: str | None, as_json: bool) -> None:
    """Mute the daemon on this machine, or show whether it is muted.

    For programs that talk through a loudspeaker next to the microphone, so that their voice gets no
    events. The open segment ends at once, with its final; after that, no speech or emotion events
    are published. docs/security.md says who may mute.

    \b
    Examples: edgeser mute on; aplay answer.wav; edgeser mute off
              edgeser mute --for 3
              edgeser mute
    """
    if state == "off" and for_s is not None:
        raise UserError("--for: 'off' has no end", "leave out --for")

    import msgspec

    from edgeser.daemon.mute import MuteRequest, ask, mute_path
    from edgeser.paths import default_endpoint

    endpoint = connect or default_endpoint()
    path = mute_path(endpoint)
    if path is None:
        raise UserError(
            f"--connect {endpoint}: a daemon can only be muted on its own machine",
            "give an ipc:// endpoint of it",
        )
    on = True if for_s is not None else None if state is None else state == "on"
    answer = ask(path, MuteRequest(on, for_s))
    if answer.error is not None:
        raise UserError(f"{path}: {answer.error}", "use the same version of edgeser as the daemon")
    if as_json:
        click.echo(msgspec.json.encode(answer).decode())
    elif answer.left_s is not None:
        click.echo(f"muted for {answer.left_s:.1f} s")
    else:
        click.echo("muted" if answer.muted else "not muted")
