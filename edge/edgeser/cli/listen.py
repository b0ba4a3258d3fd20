"""``edgeser listen``: events as a live view on a terminal, as JSON lines elsewhere."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.options import Number
from edgeser.cli.output import end_without_reader
from edgeser.cli.server_options import daemon_options
from edgeser.errors import UserError

if TYPE_CHECKING:
    from edgeser.events.subscribe.subscriber import Subscriber

FRAME_S = 0.1
"""Least interval between redraws of the live view, however many events come."""

IDLE_FRAME_S = 0.5
"""Interval of redraws while nothing in it moves."""

LOOK_S = 1.0
"""Longest time between two looks whether anybody still reads the lines."""


@click.command(
    epilog="""Examples:

    \b
    edgeser listen
    edgeser listen --topic emotion. --json | jq -r .smoothed.label
    edgeser listen --since 10m --json
    edgeser listen --connect tcp://10.0.0.7:7788 --key phone.secret --server-key 'rq:r...'
    """
)
@click.option(
    "--topic",
    "topics",
    metavar="PREFIX",
    multiple=True,
    help="Only topics with this prefix, e.g. emotion. or speech.mic (repeatable).",
)
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON line per event, also on a terminal."
)
@click.option(
    "--since",
    metavar="TIME|EPOCH:SEQ",
    help="Begin with the journal's events since 10m, 2h (ago), a date or an event; 'all': "
    "everything.",
)
@daemon_options
@click.option("--count", metavar="N", type=click.IntRange(min=1), help="End after N events.")
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=Number(min=0, max=1e9, min_open=True),
    help="End when no event comes for this long; exit code 2 if none came at all.",
)
def listen(
    connect: str | None,
    topics: tuple[str, ...],
    as_json: bool,
    since: str | None,
    key: Path | None,
    server_key: str | None,
    count: int | None,
    timeout_s: float | None,
) -> None:
    """Show a daemon's events as they come.

    On a terminal this is a live view. Elsewhere, on a dumb terminal (TERM=dumb), or with --json, it
    prints one JSON line per event, exactly as received, and a line of type "gap" for missed events.
    """
    from edgeser.events.schema import LEVEL_PREFIX, STATUS_PREFIX
    from edgeser.events.subscribe.subscriber import Subscriber

    wanted = topics or ("",)
    as_lines = as_json or not _can_draw()

    def subscribe(topics: Sequence[str], wait_s: float) -> Subscriber:
        return Subscriber(connect, topics, wait_s, since=since, key=key, server_key=server_key)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if as_lines:
            looks = None if timeout_s is None else math.ceil(timeout_s / LOOK_S)
            wait_s = LOOK_S if timeout_s is None or looks is None else timeout_s / looks
            with subscribe(wanted, wait_s) as subscriber:
                received = _print_lines(subscriber, count, looks)
        else:
            # The status tells whether the daemon is there, so the view needs it.
            shown = wanted if STATUS_PREFIX.startswith(wanted) else (*wanted, STATUS_PREFIX)
            shown = (*shown, LEVEL_PREFIX)  # for the meter
            with subscribe(shown, FRAME_S) as subscriber:
                received = _show(subscriber, wanted, count, timeout_s)
    except KeyboardInterrupt:
        return
    if not received:
        what = f"endpoint '{subscriber.endpoint}': nothing came within {timeout_s:g} s"
        if subscriber.is_heard:
            asked = " or ".join(wanted)
            raise UserError(
                f"{what} that begins with {asked}, though the daemon is there",
                "wait longer with --timeout, or name other topics",
            )
        trouble = subscriber.trouble
        if trouble is None:
            raise UserError(f"{what}, though somebody is there", "wait longer with --timeout")
        if as_lines and subscriber.has_said_why:
            raise UserError(what)
        raise UserError(f"{what}: {trouble.what}", trouble.fix)


def _can_draw() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def _print_lines(subscriber: Subscriber, count: int | None, looks: int | None) -> int:
    """Print events until ``count``, or ``looks`` time-outs in a row; returns their number.

    Ends also when nobody reads them any more.
    """
    import msgspec

    from edgeser.events.sequence import Gap

    out = sys.stdout.buffer
    received = silent = 0
    while received != count:
        try:
            item = next(subscriber)
        except TimeoutError:
            end_without_reader()
            silent += 1
            if silent == looks:
                break
            continue
        silent = 0
        if isinstance(item, Gap):
            line = msgspec.json.encode(item)
        else:
            line = subscriber.payload
            received += 1
        out.write(line + b"\n")
        out.flush()
    return received


def _show(
    subscriber: Subscriber, topics: Sequence[str], count: int | None, timeout_s: float | None
) -> int:
    """Show events until ``count`` or the time-out; returns their number.

    Only those of ``topics`` are counted.
    """
    import logging

    from rich.console import Console
    from rich.live import Live

    from edgeser.cli.listen_state import ListenState
    from edgeser.cli.listen_view import summary, view

    logging.getLogger("edgeser").addHandler(logging.NullHandler())  # the screen is the view's
    console = Console()
    state = ListenState(subscriber.endpoint, time.monotonic(), topics)

    def draw() -> None:
        live.update(view(state, console.size, time.monotonic()), refresh=True)

    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            drawn_at, changed = 0.0, True
            while count is None or state.events < count:
                try:
                    state.apply(next(subscriber), time.monotonic())
                    changed = True
                except TimeoutError:
                    state.trouble = subscriber.trouble
                    if timeout_s is not None and state.silent_s(time.monotonic()) >= timeout_s:
                        break
                busy = changed or state.in_speech
                if time.monotonic() - drawn_at >= (FRAME_S if busy else IDLE_FRAME_S):
                    draw()
                    drawn_at, changed = time.monotonic(), False
    finally:
        if state.events:
            console.print(summary(state))
    return state.events
