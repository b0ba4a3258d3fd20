"""``edgeser events``: look into the journal, while the daemon runs and after it."""

from __future__ import annotations

import csv
import sqlite3
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from edgeser.cli.options import PATH, json_option, settings_option
from edgeser.errors import UserError

if TYPE_CHECKING:
    from edgeser.events.journal.reader import JournalReader
    from edgeser.events.schema import AnyEvent


@click.command(
    epilog="""Examples:

    \b
    edgeser events --since 1h
    edgeser events --since 2026-11-20 --before 2026-11-21T08:00 --label angry --csv
    edgeser events --topic fault. --json
    edgeser events --last 5
    edgeser events --delete --since 10m --stream mic
    sudo edgeser events --settings /etc/edgeser/edgeser.toml --delete --all
    """
)
@settings_option
@click.option(
    "--journal",
    metavar="FILE",
    type=PATH,
    help="The journal.  [default: that of the settings]",
)
@click.option("--since", metavar="TIME", help="Only since then: 15m, 1h, 2d (ago), or a date.")
@click.option("--before", metavar="TIME", help="Only what was published before that.")
@click.option(
    "--topic",
    "topics",
    metavar="PREFIX",
    multiple=True,
    help="Only topics with this prefix (repeatable).",
)
@click.option(
    "--stream", "streams", metavar="NAME", multiple=True, help="Only this stream (repeatable)."
)
@click.option(
    "--label",
    "labels",
    metavar="LABEL",
    multiple=True,
    help="Only emotions with this label (repeatable).",
)
@click.option("--count", metavar="N", type=click.IntRange(min=1), help="Only the first N.")
@click.option("--last", metavar="N", type=click.IntRange(min=1), help="Only the last N.")
@click.option(
    "--delete", is_flag=True, help="Delete them permanently instead; the daemon may be running."
)
@click.option("--all", "everything", is_flag=True, help="With --delete: all events.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
def events(
    settings_file: Path | None,
    journal: Path | None,
    since: str | None,
    before: str | None,
    topics: tuple[str, ...],
    streams: tuple[str, ...],
    labels: tuple[str, ...],
    count: int | None,
    last: int | None,
    delete: bool,
    everything: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print the finals, speech events and faults in the journal, oldest first.

    Times are local unless they state a time zone. With --json each line is an event exactly as it
    was published.
    """
    from edgeser.events.journal.erase import erase
    from edgeser.events.journal.file import ForeignFileError, set_aside
    from edgeser.events.journal.reader import JournalReader
    from edgeser.moment import parse_moment
    from edgeser.paths import SERVICE_SETTINGS
    from edgeser.settings.load import load_daemon_settings

    if as_json and as_csv:
        raise UserError("--json and --csv: only one of them can be printed", "leave one out")
    if count and last:
        raise UserError("--count and --last: the first or the last events", "leave one out")
    now = datetime.now().astimezone()
    start = parse_moment(since, now) if since else 0.0
    end = parse_moment(before, now) if before else float("inf")
    wanted = Wanted(topics or ("",), streams, labels)
    path = journal or load_daemon_settings(settings_file).journal.file
    try:
        if delete:
            _check_delete(everything, bool(since or before or topics or streams or labels))
            if count or last or as_json or as_csv:
                raise UserError(
                    "--delete takes no --count, --last, --json or --csv", "leave them out"
                )
            click.echo(f"{erase(path, wanted.has, start, end)} events deleted from {path}")
            for aside in set_aside(path):
                click.echo(f"edgeser: {aside}: damaged, not touched; remove it by hand", err=True)
            return
        with JournalReader(path) as reader:
            matching = _matching(reader, wanted, start, end)
            first = list(islice(matching, 1))
            if labels and not first:
                _tell_labels(reader, path, labels)
            found = chain(first, matching)
            shown = deque(found, last) if last else islice(found, count)
            if as_json:
                _print_json(shown)
            elif as_csv:
                _print_csv(shown)
            else:
                _print_table(shown)
    except FileNotFoundError:
        raise UserError(
            f"journal {path}: there is none",
            f"name it with --journal or --settings (the service's: {SERVICE_SETTINGS})",
        ) from None
    except PermissionError as error:
        raise UserError(f"journal {path}: {error.strerror}", "try sudo") from error
    except ForeignFileError as error:
        raise UserError(f"journal {path}: {error}") from error
    except (OSError, sqlite3.Error) as error:
        doing = "changed" if delete else "read"
        why = getattr(error, "strerror", None) or error
        raise UserError(f"journal {path}: cannot be {doing}: {why}") from error


class Wanted(NamedTuple):
    """Which events are wanted."""

    topics: tuple[str, ...]
    streams: tuple[str, ...]
    labels: tuple[str, ...]

    def has(self, topic: str, payload: bytes) -> bool:
        """Whether an entry of the journal is wanted; one that cannot be decoded has no label."""
        import msgspec

        from edgeser.events.schema import decode

        if not topic.startswith(self.topics):
            return False
        if self.streams and topic.partition(".")[2] not in self.streams:
            return False
        if not self.labels:
            return True
        try:
            return self.has_label(decode(payload))
        except msgspec.MsgspecError:
            return False

    def has_label(self, event: AnyEvent) -> bool:
        return not self.labels or (event.type == "emotion" and event.label in self.labels)


def _check_delete(everything: bool, something: bool) -> None:
    if everything == something:
        raise UserError(
            "--delete: expected either a selection or --all",
            "name them by --since, --before, --stream, --topic or --label, or give --all alone",
        )


def _matching(
    reader: JournalReader, wanted: Wanted, start: float, end: float
) -> Iterator[tuple[AnyEvent, bytes]]:
    import msgspec

    from edgeser.events.schema import decode

    for payload in reader.payloads(wanted.topics, start, end):
        try:
            event = decode(payload)
        except msgspec.MsgspecError:  # of a later version
            click.echo(f"skipped, not understood: {payload[:60]!r}", err=True)
            continue
        if wanted.streams and event.stream not in wanted.streams:
            continue
        if wanted.has_label(event):
            yield event, payload


def _tell_labels(reader: JournalReader, path: Path, labels: tuple[str, ...]) -> None:
    """Print a note if no event of any time has one of these labels."""
    from edgeser.events.schema import EMOTION_PREFIX

    emotions = _matching(reader, Wanted((EMOTION_PREFIX,), (), ()), 0.0, float("inf"))
    held = sorted({event.label for event, _ in emotions if event.type == "emotion"})
    if held and not set(labels) & set(held):
        named = ", ".join(repr(label) for label in labels)
        click.echo(f"no event in {path} has label {named}; there are {', '.join(held)}", err=True)


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
