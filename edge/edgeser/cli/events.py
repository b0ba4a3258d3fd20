"""``edgeser events``: look into the journal, while the daemon runs and after it."""

from __future__ import annotations

import csv
import os
import re
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.options import json_option, settings_option
from edgeser.errors import UserError

if TYPE_CHECKING:
    from edgeser.events.journal.reader import JournalReader
    from edgeser.events.schema import AnyEvent

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.command(
    epilog="""Examples:

    \b
    edgeser events --since 1h
    edgeser events --since 2026-11-20 --before 2026-11-21T08:00 --label angry --csv
    edgeser events --topic fault. --json
    """
)
@settings_option
@click.option("--journal", metavar="FILE", type=click.Path(path_type=Path), help="The journal.")
@click.option("--since", metavar="TIME", help="Only from then on: 15m, 1h, 2d (ago), or a date.")
@click.option("--before", metavar="TIME", help="Only what was published before that.")
@click.option(
    "--topic", "topics", metavar="PREFIX", multiple=True, help="Only topics that begin so."
)
@click.option("--label", "labels", multiple=True, help="Only emotions of this label (repeatable).")
@click.option("--count", metavar="N", type=click.IntRange(min=1), help="Only the first N.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
def events(
    settings_file: Path | None,
    journal: Path | None,
    since: str | None,
    before: str | None,
    topics: tuple[str, ...],
    labels: tuple[str, ...],
    count: int | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print the finals, speech events and faults that the journal holds, oldest first.

    Times are local unless they say otherwise. With --json each line is an event just as it was
    published.
    """
    from edgeser.events.journal.reader import JournalReader
    from edgeser.events.journal.store import ForeignFileError
    from edgeser.settings.load import load_settings

    if as_json and as_csv:
        raise UserError("--json and --csv: only one of them can be printed", "leave one out")
    now = datetime.now().astimezone()
    start = _moment(since, now) if since else 0.0
    end = _moment(before, now) if before else float("inf")
    path = journal or load_settings(settings_file).journal.file
    try:
        with JournalReader(path) as reader:
            found = _matching(reader, topics or ("",), labels, start, end)
            shown = islice(found, count)
            if as_json:
                _print_json(shown)
            elif as_csv:
                _print_csv(shown)
            else:
                _print_table(shown)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except FileNotFoundError:
        raise UserError(
            f"journal {path}: there is none", "name it with --journal or --settings"
        ) from None
    except (OSError, sqlite3.Error, ForeignFileError) as error:
        raise UserError(f"journal {path}: cannot be read: {error}") from error


def _moment(text: str, now: datetime) -> float:
    """``90s``, ``15m``, ``1h``, ``2d`` ago, or an ISO date or time, in Unix seconds."""
    try:
        if ago := re.fullmatch(r"([0-9]{1,9})([smhd])", text):
            return (now - timedelta(seconds=int(ago[1]) * UNITS[ago[2]])).timestamp()
        return datetime.fromisoformat(text).timestamp()  # local where it names no zone
    except (ValueError, OverflowError, OSError):
        raise UserError(
            f"time {text!r}: expected 15m, 1h, 2d, or a date like 2026-11-20T08:00"
        ) from None


def _matching(
    reader: JournalReader,
    topics: tuple[str, ...],
    labels: tuple[str, ...],
    start: float,
    end: float,
) -> Iterator[tuple[AnyEvent, bytes]]:
    import msgspec

    from edgeser.events.schema import EmotionEvent, decode

    for payload in reader.payloads(topics, start, end):
        try:
            event = decode(payload)
        except msgspec.MsgspecError:  # of a later version
            click.echo(f"skipped, not understood: {payload[:60]!r}", err=True)
            continue
        if not labels or (isinstance(event, EmotionEvent) and event.label in labels):
            yield event, payload


def _print_json(found: Iterable[tuple[AnyEvent, bytes]]) -> None:
    for _, payload in found:
        sys.stdout.buffer.write(payload + b"\n")
    sys.stdout.buffer.flush()


def _print_csv(found: Iterable[tuple[AnyEvent, bytes]]) -> None:
    from edgeser.events.table import COLUMNS, row

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for event, _ in found:
        writer.writerow(row(event))
    sys.stdout.flush()


def _print_table(found: Iterable[tuple[AnyEvent, bytes]]) -> None:
    from edgeser.events.table import row

    for event, _ in found:
        time, stream, kind, what, start, end, confidence, _epoch, _seq = row(event)
        span = f"{start:>9} – {end:<9}" if start else " " * 21
        line = f"{time[:19].replace('T', ' ')}  {stream:<8} {kind:<8} {span} {what}"
        click.echo(f"{line} {float(confidence):.0%}" if confidence else line)
