"""``edgeser on``: run a program when something is heard."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from edgeser.cli.options import Number
from edgeser.cli.server_options import daemon_options
from edgeser.errors import UserError
from edgeser.hooks.trigger import KINDS, TOPICS, HookThrottle, Trigger, What, check_placeholders

if TYPE_CHECKING:
    from edgeser.hooks.runner import Runner

_ENDING = (signal.SIGINT, signal.SIGTERM)

_LOOK_S = 0.5
"""Interval of checks for a signal."""

AT_ONCE_S = 2.0
"""Signals within this time of the first count as the same."""


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="""Examples:

    \b
    edgeser on final --label angry --above 0.8 -- notify-send 'Angry' '{stream}, {confidence}'
    edgeser on final -- sh -c 'cat >> remarks.jsonl'
    edgeser on speech --state start --every 60 -- ./lamp.sh on
    edgeser on final --label sad --every 600 -- \\
        curl -sf -H 'Content-Type: application/json' -d @- https://example.org/hook
    """,
)
@click.argument("what", type=click.Choice(KINDS))
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--label", "labels", multiple=True, metavar="LABEL", help="Only this label (repeatable)."
)
@click.option(
    "--above",
    type=Number(0, 1),
    default=0.0,
    metavar="CONFIDENCE",
    help="Only with at least this confidence, 0 to 1.",
)
@click.option(
    "--stream", "streams", multiple=True, metavar="NAME", help="Only this stream (repeatable)."
)
@click.option(
    "--state", type=click.Choice(["start", "end"]), help="Only speech events with this state."
)
@click.option(
    "--every",
    "every_s",
    type=Number(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Minimum time between runs, per stream.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Number(min=0, max=86_400, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Kill a program that takes longer.",
)
@click.option(
    "--max-age",
    "max_age_s",
    type=Number(min=0, min_open=True),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Skip older events, such as those replayed after an outage.",
)
@daemon_options
def on(
    what: str,
    command: tuple[str, ...],
    labels: tuple[str, ...],
    above: float,
    streams: tuple[str, ...],
    state: str | None,
    every_s: float,
    timeout_s: float,
    max_age_s: float,
    connect: str | None,
    key: Path | None,
    server_key: str | None,
) -> None:
    """Run COMMAND on every event of a kind: final, partial, speech or fault.

    {field} in an argument is replaced by that field of the event, e.g. {label} or {confidence}; the
    program's standard input is the whole event, as JSON. One program runs at a time, in the order
    of events; no shell is involved unless COMMAND is one. Ctrl-C or SIGTERM ends it after COMMAND
    has run for the events already received; a second signal, after two seconds, kills the running
    program.
    """
    from edgeser.daemon import logs
    from edgeser.events.schema import STATUS_PREFIX, StatusEvent
    from edgeser.events.sequence import Gap
    from edgeser.events.subscribe.subscriber import Subscriber
    from edgeser.hooks.runner import Runner

    if command[0].startswith("-"):  # click takes an unknown option for the command
        raise click.NoSuchOption(command[0], ctx=click.get_current_context())
    kind = cast(What, what)
    trigger = Trigger(kind, frozenset(labels), above, frozenset(streams), state)
    check_placeholders(command, kind)
    if "{" not in command[0] and shutil.which(command[0]) is None:
        raise UserError(f"{command[0]}: no such program", "give its path, or install it")
    logs.set_up(verbose=False)
    throttle = HookThrottle(every_s)
    checked = False  # labels and streams, against a status of the daemon
    left_out = 0
    runner = Runner(command, timeout_s)
    asked = _ending(runner)
    try:
        topics = [TOPICS[kind], STATUS_PREFIX]
        with Subscriber(connect, topics, _LOOK_S, key=key, server_key=server_key) as subscriber:
            while not asked:
                try:
                    event = next(subscriber)
                except TimeoutError:
                    continue
                if isinstance(event, Gap):
                    continue
                is_old = time.time() - event.time > max_age_s
                # A status is never replayed: if it is old as well, the clocks differ.
                if left_out and (isinstance(event, StatusEvent) or not is_old):
                    click.echo(f"skipped {left_out} older than {max_age_s:g} s", err=True)
                    left_out = 0
                # By its second status a daemon has reported every stream that it began with.
                if not checked and isinstance(event, StatusEvent) and event.seq > 1:
                    checked = True
                    for missing in (trigger.labels_missing(event), trigger.streams_missing(event)):
                        if missing:
                            click.echo(missing, err=True)
                if not trigger.matches(event):
                    continue
                if is_old:
                    left_out += 1
                elif throttle.passes(event.stream, time.monotonic()):
                    runner.put(event, subscriber.payload)
    finally:
        runner.close()
    if runner.left is not None:
        click.echo(f"ended by a second signal; {runner.left} events were still queued", err=True)
        sys.exit(1)


def _ending(runner: Runner) -> list[float]:
    """Times at which signals asked for the end. The handler only notes them: if it raised, a lock
    could stay held.

    A second one makes the end abrupt, unless it comes at once: 'timeout' sends two.
    """
    asked: list[float] = []

    def ask(*_: object) -> None:
        asked.append(time.monotonic())
        if asked[-1] - asked[0] > AT_ONCE_S:
            runner.break_off()

    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # ignored in background jobs
            signal.signal(number, ask)
    return asked
