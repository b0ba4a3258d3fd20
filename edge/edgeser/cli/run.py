"""``edgeser run``: the daemon."""

from __future__ import annotations

import faulthandler
import logging
import os
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.options import PATH_TEXT, backend_option, given, model_option, settings_option
from edgeser.errors import shortage

if TYPE_CHECKING:
    from edgeser.daemon.logs import LogFormat

log = logging.getLogger(__name__)


@click.command()
@settings_option
@click.option(
    "--source",
    metavar="mic|FILE|-|tcp://HOST:PORT",
    type=PATH_TEXT,
    help="Microphone, sound file, raw 16 kHz s16le, or a network microphone.",
)
@click.option("--device", metavar="NAME", help="Microphone, by its name or a part of it.")
@model_option
@backend_option
@click.option("--bind", multiple=True, metavar="ENDPOINT", help="Publish here (repeatable).")
@click.option("--fast", is_flag=True, help="Read a file as fast as it can be recognised.")
@click.option("--once", is_flag=True, help="End when the source ends.")
@click.option("--wait", is_flag=True, help="Wait for a missing microphone.")
@click.option("--await-subscriber", is_flag=True, help="Start when the first subscriber connects.")
@click.option("--verbose", is_flag=True, help="Log every emotion event.")
@click.option(
    "--log",
    "log_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Plain lines, or one JSON object per line.",
)
def run(
    settings_file: Path | None,
    source: str | None,
    device: str | None,
    model: str | None,
    backend: str | None,
    bind: tuple[str, ...],
    fast: bool,
    once: bool,
    wait: bool,
    await_subscriber: bool,
    verbose: bool,
    log_format: LogFormat,
) -> None:
    """Listen to a source and publish emotion events until stopped.

    Ctrl-C, SIGTERM and closing the terminal finish the open segment first; any other SIGHUP reloads
    settings and model. See docs/events.md for the events.

    \b
    Examples: edgeser run
              edgeser run --source call.wav --once --bind tcp://127.0.0.1:7788
              arecord -q -f S16_LE -r 16000 -t raw | edgeser run --source -
    """
    from edgeser.audio.open import open_sources
    from edgeser.daemon import logs
    from edgeser.daemon.daemon import Daemon
    from edgeser.model.model import Model, load_model
    from edgeser.settings.environment import unread_variables
    from edgeser.settings.load import load_settings
    from edgeser.settings.schema import Settings

    logs.set_up(verbose=verbose, log_format=log_format)
    flags = given(
        audio__source=source,
        audio__device=device,
        model__name=model,
        model__backend=backend,
        events__bind=list(bind) or None,
    )

    def load() -> tuple[Settings, Model]:
        settings = load_settings(settings_file, flags=flags)
        chosen = settings.model
        model = load_model(chosen.name, chosen.backend, fall_back=True, labels=chosen.labels)
        return settings, model

    settings, loaded = load()
    for line in unread_variables(os.environ):
        log.warning(line)
    daemon = Daemon(
        settings,
        open_sources(settings.sources, fast=fast, wait=wait),
        loaded,
        load=load,
        once=once,
        await_subscriber=await_subscriber,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: daemon.stop())
    terminals = [descriptor for descriptor in (0, 1, 2) if os.isatty(descriptor)]

    def hang_up(*_: object) -> None:
        """Stop if the terminal was closed, since its user expects that; else reload."""
        is_closed = terminals and not any(map(os.isatty, terminals))
        (daemon.stop if is_closed else daemon.reload)()

    signal.signal(signal.SIGHUP, hang_up)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each subscriber takes one file
    faulthandler.enable()  # a watchdog's SIGABRT says where each thread is
    try:
        daemon.run()
    except (MemoryError, OSError, RuntimeError) as error:
        lacking = shortage(error)
        if lacking is None:
            raise
        # Exit with 1: it did run, so a restart may help; 2 would say that it does not.
        click.echo(f"edgeser: {lacking}", err=True)
        raise SystemExit(1) from None
