"""``edgeser predict``: files in, a row per speech segment out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.options import (
    PATH_TEXT,
    backend_option,
    given,
    json_option,
    model_option,
    settings_option,
)
from edgeser.errors import UserError, one_line
from edgeser.paths import as_utf8

if TYPE_CHECKING:
    from rich.table import Table

    from edgeser.events.schema import EmotionEvent


_LABELS_WIDTH = 24
"""Most letters in the headings of the scores together."""

_KEPT_COLUMNS = 4
"""Number, start, end and label are shown on every terminal."""


@click.command()
@click.argument("files", nargs=-1, required=True, type=PATH_TEXT, metavar="FILE...")
@settings_option
@model_option
@backend_option
@click.option(
    "--one-voice",
    is_flag=True,
    help="All files are of one voice: judge each relative to how it sounds in the others.",
)
@json_option
def predict(
    files: tuple[str, ...],
    settings_file: Path | None,
    model: str | None,
    backend: str | None,
    one_voice: bool,
    as_json: bool,
) -> None:
    """Recognise the speech in sound files, segmented as by `edgeser run`.

    Every file is treated as an unknown voice, unless --one-voice is given: then all files are
    processed before the first is judged, and their order makes no difference.

    --json prints one line per segment: {"file": ..., "event": ...}, the event as in docs/events.md;
    bytes of a file name that are not UTF-8 are escaped. A file that cannot be read is named on
    standard error, the others are recognised, and the exit code is 2. Samples that are not numbers
    count as silence; a message on standard error says so.

    \b
    Examples: edgeser predict call.wav
              edgeser predict --one-voice anna/*.wav
              edgeser predict --json *.flac > segments.jsonl
    """
    import msgspec

    from edgeser.recognizer import Recognizer
    from edgeser.settings.load import load_settings

    settings = load_settings(settings_file, flags=given(model__name=model, model__backend=backend))
    recognizer = Recognizer(settings=settings)
    voices = recognizer.learn(files) if one_voice else [None] * len(files)
    failed = False
    for file, voice in zip(files, voices, strict=True):
        table = None if as_json else _table(file, recognizer.model.labels)
        try:
            for event in recognizer.file(file, voice):
                if table is None:
                    line = msgspec.json.encode({"file": as_utf8(file), "event": event})
                    click.echo(line.decode())
                else:
                    _add_row(table, event)
        except UserError as error:
            failed = True
            click.echo(f"edgeser: {error}", err=True)
            if table is not None and not table.row_count:
                continue
        if table is not None:
            _print(table)
    if failed:
        raise SystemExit(2)


def _table(file: str, labels: list[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        title=one_line(as_utf8(file)),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for heading in ("#", "start s", "end s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("label", no_wrap=True)
    table.add_column("confidence", justify="right", no_wrap=True)
    # Abbreviate many labels: a narrow table fits more terminals.
    letters = None if sum(map(len, labels)) <= _LABELS_WIDTH else 4
    for label in labels:
        table.add_column(label[:letters], justify="right", style="dim", no_wrap=True)
    return table


def _add_row(table: Table, event: EmotionEvent) -> None:
    cut = "+" if event.continued else ""
    table.add_row(
        str(event.segment),
        f"{event.start:.2f}",
        f"{event.end:.2f}{cut}",
        event.label,
        f"{event.confidence:.2f}",
        *(f"{score:.2f}" for score in event.scores.values()),
    )


def _print(table: Table) -> None:
    from edgeser.cli.console import plain_console, print_table

    if table.row_count:
        print_table(table, _KEPT_COLUMNS)
        return
    console = plain_console()
    console.print(table.title, style="bold")
    console.print("  no speech found")
