"""``edgeser settings``: check a file, show what is in force."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edgeser.cli.group import Group
from edgeser.cli.options import PATH, json_option


@click.group(cls=Group)
def settings() -> None:
    """Check or show the settings.

    Example: edgeser settings check /etc/edgeser/edgeser.toml
    """


@settings.command()
@click.argument("file", type=PATH, metavar="FILE")
def check(file: Path) -> None:
    """Check whether 'edgeser run' would accept a settings file, together with the environment.

    The model, sound files and keys that it names must exist.

    Example: edgeser settings check edgeser.toml
    """
    from edgeser.audio.file import FileSource
    from edgeser.audio.open import check_names, network_parts
    from edgeser.events.wire.keys import KeyFolder
    from edgeser.model.model import load_model
    from edgeser.settings.environment import unread_variables
    from edgeser.settings.load import load_daemon_settings
    from edgeser.speech.config import segmenter_config

    loaded = load_daemon_settings(file)
    chosen = loaded.model
    model = load_model(chosen.name, chosen.backend, fall_back=True, labels=chosen.labels)
    segmenter_config(loaded.speech, model.info.window)
    for audio in loaded.sources:
        if audio.file is not None:
            FileSource(audio.file)
        if audio.is_network:
            network_parts(audio)
    check_names(loaded.sources)
    if loaded.events.curve:
        keys = KeyFolder(loaded.events.key_folder)
        keys.secret()
        keys.allowed()
    for line in unread_variables(os.environ):
        click.echo(f"edgeser: {line}", err=True)
    if model.fell_back:
        runs = f"{model.backend.name} would run the model, not tensorrt"
        click.echo(f"edgeser: model.backend: {runs}: {model.reason}", err=True)
    click.echo(f"{file}: all right")


@settings.command()
@click.argument("file", type=PATH, required=False, metavar="[FILE]")
@json_option
def show(file: Path | None, as_json: bool) -> None:
    """Show the settings in force: defaults, then FILE, then EDGESER_* variables.

    Example: EDGESER_SPEECH_HOP_SECONDS=1 edgeser settings show
    """
    import msgspec

    from edgeser.settings.load import load_settings

    tree = msgspec.to_builtins(load_settings(file))
    if as_json:
        click.echo(_as_json(tree))
        return
    for section, values in tree.items():
        listed = isinstance(values, list)
        for table in values if listed else [values]:
            click.echo(f"[[{section}]]" if listed else f"[{section}]")
            for key, value in table.items():
                # A JSON string, number or list is also valid TOML; TOML has no null.
                text = _as_json(value)
                click.echo(f"# {key} is not set" if value is None else f"{key} = {text}")
            click.echo()


def _as_json(value: object) -> str:
    """JSON with a path's undecodable bytes as escapes, which msgspec does not write."""
    import json

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace").decode()
