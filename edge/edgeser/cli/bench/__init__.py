"""``edgeser bench``: what this machine can do."""

from __future__ import annotations

import click

from edgeser.cli.bench.latency import latency
from edgeser.cli.bench.model import model
from edgeser.cli.bench.rejects import rejects
from edgeser.cli.bench.soak import soak
from edgeser.cli.bench.throughput import throughput


@click.group()
def bench() -> None:
    """Measure the daemon and its models on this machine.

    The daemon has its default settings but for what the options say; EDGESER_* variables do not
    reach it.

    Example: edgeser bench latency --seconds 60
    """


for command in (latency, soak, model, throughput, rejects):
    bench.add_command(command)
