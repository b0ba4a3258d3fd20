"""``edgeser devices``: the microphones there are."""

from __future__ import annotations

import click

from edgeser.cli.options import json_option


@click.command()
@json_option
def devices(as_json: bool) -> None:
    """List the microphones; `edgeser run --device` takes a name or a part of it.

    Example: edgeser devices
    """
    import msgspec

    from edgeser.audio.devices import input_devices

    found = input_devices()
    if as_json:
        click.echo(msgspec.json.encode([device._asdict() for device in found]).decode())
        return
    if not found:
        click.echo(
            "No microphone found. Is one plugged in, does a program have it to itself, and are you "
            "in the group 'audio'?"
        )
        return

    from rich import box
    from rich.table import Table

    from edgeser.cli.console import plain_console

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("name")
    table.add_column("channels", justify="right")
    table.add_column("rate Hz", justify="right")
    table.add_column("system")
    table.add_column("default")
    for device in found:
        table.add_row(
            device.name,
            str(device.channels),
            f"{device.default_rate:.0f}",
            device.hostapi,
            "yes" if device.is_default else "",
        )
    plain_console().print(table)
