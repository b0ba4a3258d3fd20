"""``edgeser bench``: what this machine can do."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import click

from edgeser.cli.bench.latency import latency
from edgeser.cli.bench.model import model
from edgeser.cli.bench.rejects import rejects
from edgeser.cli.bench.soak import soak
from edgeser.cli.bench.throughput import throughput
from edgeser.cli.group import Group


@contextmanager
def _cleared_up() -> Iterator[None]:
    """Make SIGTERM and SIGHUP end a benchmark as Ctrl-C does, with its daemon and files."""
    caught = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) == signal.SIG_DFL  # nohup ignores one
    ]

    def end(number: int, _: object) -> None:
        for each in caught:
            signal.signal(each, signal.SIG_IGN)  # a second one must not interrupt the clean-up
        raise SystemExit(128 + number)

    for number in caught:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


@click.group(cls=Group)
@click.pass_context
def bench(ctx: click.Context) -> None:
    """Measure the daemon and its models on this machine.

    The daemon has its default settings except for the options given; EDGESER_* variables do not
    affect it.

    Example: edgeser bench latency --seconds 60
    """
    ctx.with_resource(_cleared_up())


for command in (latency, soak, model, throughput, rejects):
    bench.add_command(command)
