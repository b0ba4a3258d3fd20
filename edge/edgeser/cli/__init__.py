"""The command line: one file per command, imported only when the command runs."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from edgeser import __version__
from edgeser.errors import UserError

# Before NumPy is imported: its pool of BLAS threads has no work here and would only hold memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

COMMANDS = {
    "run": "Listen and publish emotion events.",
    "listen": "Show the events of a running daemon.",
    "page": "Show in a browser what a daemon hears (extra: page).",
    "events": "Look into the journal: what was heard, and when.",
    "on": "Run a program when something is heard.",
    "bridge": "Hand the events on to other systems: MQTT with Home Assistant.",
    "keys": "Make keys for encrypted TCP, and say whose are allowed.",
    "predict": "Recognise the speech in sound files.",
    "bench": "Measure the daemon on this machine.",
    "devices": "List the microphones.",
    "models": "List the models, or describe one.",
    "settings": "Check or show the settings.",
    "doctor": "Check this installation and say how to mend it.",
    "train": "Train a model on a corpus (extra: train).",
    "evaluate": "Evaluate a model under a named protocol (extra: train).",
    "report": "Put evaluations side by side, and say how sure a difference is.",
    "export": "Make a verified artefact of a checkpoint (extra: export).",
    "engine": "Build TensorRT engines for an NVIDIA GPU, and keep them (extra: tensorrt).",
}

_ROOMS = {
    "train": "edgeser_train.commands",
    "evaluate": "edgeser_train.commands",
    "report": "edgeser_train.commands",
    "export": "edgeser_export.commands",
}
"""Where a command lives that is not one of the runtime's."""


class _Commands(click.Group):
    """Knows every command by its line of help, and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{_ROOMS.get(cmd_name, 'edgeser.cli')}.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"edgeser: {error}", err=True)
            ctx.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="edgeser %(version)s")
def main() -> None:
    """Speech in, emotion events out, on the device.

    Example: edgeser run --source mic
    """
    if isinstance(sys.stdout.encoding, str) and sys.stdout.encoding.lower() == "ascii":
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
