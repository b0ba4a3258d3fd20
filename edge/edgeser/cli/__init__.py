"""The command line: one file per command, imported only when the command runs."""

from __future__ import annotations

import importlib
import os
import signal
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from edgeser import __version__
from edgeser.errors import UserError, shortage

# Must be set before NumPy is imported, whose BLAS threads have no work here and take up memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


class Entry(NamedTuple):
    """A command: the package of its module, which defines it under its own name.

    ``clears_up``: it has something to finish or to remove at Ctrl-C; other commands just end.
    """

    room: str
    summary: str
    clears_up: bool = False


COMMANDS = {
    "run": Entry("edgeser.cli", "Listen and publish emotion events."),
    "listen": Entry("edgeser.cli", "Show the events of a running daemon.", clears_up=True),
    "page": Entry(
        "edgeser.cli",
        "Show in a browser what a daemon hears (extra: page).",
        clears_up=True,
    ),
    "events": Entry("edgeser.cli", "Print the events in the journal."),
    "on": Entry("edgeser.cli", "Run a program on events.", clears_up=True),
    "bridge": Entry(
        "edgeser.cli",
        "Forward events: MQTT with Home Assistant, NATS, Lab Streaming Layer.",
        clears_up=True,
    ),
    "lake": Entry(
        "edgeser.cli",
        "Store and query the events of a fleet (extra: lake).",
        clears_up=True,
    ),
    "baseline": Entry(
        "edgeser.cli", "Show, reset or enrol the baseline of a stream's voice.", clears_up=True
    ),
    "keys": Entry("edgeser.cli", "Make and allow keys for encrypted TCP."),
    "mute": Entry("edgeser.cli", "Mute the daemon, for example while a loudspeaker talks."),
    "predict": Entry("edgeser.cli", "Recognise the speech in sound files."),
    "annotate": Entry(
        "edgeser.cli",
        "Recognise an archive of recordings, as tables (extra: annotate).",
        clears_up=True,
    ),
    "bench": Entry("edgeser.cli", "Measure the daemon on this machine.", clears_up=True),
    "devices": Entry("edgeser.cli", "List the microphones."),
    "models": Entry("edgeser.cli", "List the models, describe one, or switch the daemon's."),
    "settings": Entry("edgeser.cli", "Check or show the settings."),
    "doctor": Entry("edgeser.cli", "Check this installation and say how to fix it."),
    "completion": Entry("edgeser.cli", "Print completion for a shell, or the manual page."),
    "train": Entry(
        "edgeser_train.commands", "Train a model on a corpus (extra: train).", clears_up=True
    ),
    "evaluate": Entry(
        "edgeser_train.commands",
        "Evaluate a model under a named protocol (extra: train).",
        clears_up=True,
    ),
    "unseen": Entry(
        "edgeser_train.commands",
        "Score a model on voices that it never met (extra: train).",
        clears_up=True,
    ),
    "report": Entry(
        "edgeser_train.commands", "Compare evaluations, with the significance of each difference."
    ),
    "export": Entry(
        "edgeser_export.commands",
        "Export a checkpoint to a verified artefact (extra: export).",
        clears_up=True,
    ),
    "engine": Entry(
        "edgeser.cli",
        "Build and manage TensorRT engines for an NVIDIA GPU (extra: tensorrt).",
        clears_up=True,
    ),
}
"""A command is added by its file and its line here."""


class _Commands(click.Group):
    """Lists all commands with their line of help, and imports only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        entry = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"{entry.room}.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        if entry.clears_up and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # see __main__.py
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and lines of help, without importing the commands."""
        named = [
            CompletionItem(name, help=entry.summary)
            for name, entry in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, ImportError) as error:
            # pybind11 turns what interrupts the import of its library into an ImportError.
            if not isinstance(error.__cause__ or error, KeyboardInterrupt):
                raise
            return ctx.exit(128 + signal.SIGINT)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Turn every failure that the user or the machine causes into one line and an exit code."""
        code = UserError.exit_code
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            extra.setdefault("color", False)
        try:
            return super().main(*args, **extra)
        except UserError as error:
            line, code = str(error), error.exit_code
        except (MemoryError, OSError, RuntimeError) as error:
            lacking = shortage(error)
            if lacking is None:
                raise
            line = lacking
        click.echo(f"edgeser: {line}", err=True)
        raise SystemExit(code)


def _say_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if not asked or ctx.resilient_parsing:
        return
    from edgeser.commit import commit

    code = commit()
    click.echo(f"edgeser {__version__}{'' if code == 'unknown' else f' (checkout {code})'}")
    ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_say_version,
    help="Show the version and exit; of a checkout, or of a service installed from one, also the "
    "commit, with a + if it was changed.",
)
def main() -> None:
    """Speech in, emotion events out, on the device.

    Example: edgeser run --source mic
    """
