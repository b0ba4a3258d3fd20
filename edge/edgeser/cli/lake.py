"""``edgeser lake``: the events of a fleet as tables."""

from __future__ import annotations

from pathlib import Path

import click

from edgeser.cli.group import Group
from edgeser.cli.options import PATH, PATH_TEXT, Number, given_in, json_option, settings_option
from edgeser.cli.server_options import credentials_option, login_options
from edgeser.errors import UserError


@click.group(cls=Group)
def lake() -> None:
    """Store the events of a fleet as Parquet tables, and query them.

    The fleet's devices publish with 'edgeser bridge nats'. See docs/fleet.md.

    Example: edgeser lake fill nats://127.0.0.1:4222 -o lake
    """


@lake.command(
    epilog="""Examples:

    \b
    edgeser lake fill nats://127.0.0.1:4222 -o lake
    edgeser lake fill tls://hub.example -o /srv/lake --credentials lake.creds --ca hub.pem
    edgeser lake fill nats://127.0.0.1:4222 -o lake --once
    edgeser lake fill --settings /etc/edgeser/edgeser.toml
    """
)
@click.argument("server", metavar="[nats://HOST[:PORT]|tls://...]", required=False)
@click.option(
    "-o",
    "--output",
    "folder",
    metavar="FOLDER",
    type=PATH_TEXT,
    help="Folder of the tables.  [default: ~/.local/state/edgeser/lake]",
)
@settings_option
@credentials_option
@login_options
@click.option(
    "--every",
    "every_seconds",
    metavar="SECONDS",
    type=Number(min=1, max=3600),
    help="Write a part this often, if there are events.  [default: 300]",
)
@click.option(
    "--stream-gb",
    metavar="GB",
    type=Number(min=0.001, max=100_000),
    help="Size limit of the server's stream, if it has to be created.  [default: 10]",
)
@click.option("--metrics", metavar="HOST:PORT", help="Serve /metrics for Prometheus here.")
@click.option(
    "--once",
    is_flag=True,
    help="End when everything available is written, or cannot be (exit code 1).",
)
def fill(settings_file: Path | None, once: bool, **flags: str | float | None) -> None:
    """Write events from JetStream into tables.

    Events are acknowledged when they are on disk; none is lost or stored twice, whatever is killed
    on the way. Creates the stream EDGESER on the server if it does not exist.
    """
    import asyncio
    import signal

    from edgeser.bridges.nats.server import from_settings
    from edgeser.daemon import logs
    from edgeser.daemon.service_manager import ServiceManager
    from edgeser.settings.load import load_settings

    logs.set_up(verbose=False)
    settings = load_settings(settings_file, flags=given_in("lake", flags))
    wanted = settings.lake
    address = from_settings(wanted, "lake")
    address.check()
    _parquet()
    from edgeser.bridges.nats.client import NatsError
    from edgeser.lake import figures
    from edgeser.lake.fill import Filler
    from edgeser.lake.store import FullError, Store

    store = Store(wanted.path)
    notifier = ServiceManager()

    async def work() -> None:
        def on_turn() -> None:
            notifier.alive()
            notifier.status(filler.figures.line, well=filler.figures.is_well)

        filler = Filler(
            address,
            store,
            every_s=wanted.every_seconds,
            once=once,
            stream_gb=wanted.stream_gb,
            on_turn=on_turn,
        )
        if wanted.metrics:
            figures.serve(filler.figures, wanted.metrics, settings.metrics.hosts)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, filler.stop)
        notifier.ready()
        await filler.run()
        click.echo(f"{filler.figures.rows} rows written", err=True)

    try:
        asyncio.run(work())
        notifier.stopping()
    except (NatsError, FullError) as error:
        click.echo(f"edgeser: {error}", err=True)
        raise SystemExit(1) from None
    finally:
        store.close()


@lake.command(
    epilog="""Examples:

    \b
    edgeser lake ask lake mood
    edgeser lake ask lake silence
    edgeser lake ask lake day --device hall --day 2026-11-21
    edgeser lake ask lake "SELECT label, count(*) FROM finals GROUP BY label" --json
    """
)
@click.argument("folder", type=PATH)
@click.argument("question", metavar="mood|silence|day|SQL")
@click.option("--device", metavar="NAME", help="For 'day': the device.")
@click.option("--site", metavar="NAME", help="For 'day': the site, if several have the device.")
@click.option("--day", metavar="YYYY-MM-DD", help="For 'day': the day, in UTC.")
@json_option
def ask(
    folder: Path,
    question: str,
    device: str | None,
    site: str | None,
    day: str | None,
    as_json: bool,
) -> None:
    """Query the events of a fleet.

    'mood': labels, valence and arousal by device and hour; 'silence': for each device the hours
    without events until now (silent_h), times without sound, faults, and by how many hours its
    clock is ahead (ahead_h); 'day': one day of one device; or DuckDB SQL on the views finals,
    speech and faults. If there are more columns than fit into the terminal, each gets a line. Times
    are UTC.
    """
    import datetime

    _parquet()
    from edgeser.lake.queries import DAY, MOOD, SILENCE, Lake

    known = {"mood": MOOD, "silence": SILENCE, "day": DAY}
    if question not in known and question.isidentifier():
        raise UserError(f"the question '{question}': unknown", f"ask {', '.join(known)}, or in SQL")
    if question != "day" and (device or site or day):
        raise UserError(
            "--device, --site and --day: only the question 'day' takes them",
            "leave them out, or ask in SQL, e.g. \"FROM finals WHERE device = 'hall'\"",
        )
    if question == "day":
        if device is None or day is None:
            raise UserError(
                "day: of which device, and which day?", "add --device NAME --day YYYY-MM-DD"
            )
        try:
            datetime.date.fromisoformat(day)
        except ValueError:
            raise UserError(f"--day {day}: expected YYYY-MM-DD") from None
    tables = Lake(folder)
    values = {}
    if device and day:
        whose = tables.device(device, site)
        values = {"device": device, "site": whose.site, "day": day}
    columns, rows = tables.ask(known.get(question, question), **values)
    if values and not rows:
        days = f"from {whose.first_day} to {whose.last_day}"
        click.echo(f"no rows on {day}; the lake has events of {device} {days}", err=True)
    elif as_json:
        _print_json(columns, rows)
    else:
        _print(columns, rows)


def _print_json(columns: list[str], rows: list[tuple[object, ...]]) -> None:
    import msgspec

    if twice := [name for name in columns if columns.count(name) > 1]:
        raise UserError(
            f"the question: two columns are called {twice[0]!r}, and JSON has room for one",
            "give them names with AS",
        )
    for row in rows:
        click.echo(msgspec.json.encode(dict(zip(columns, row, strict=True))))


def _print(columns: list[str], rows: list[tuple[object, ...]]) -> None:
    """Print a table; if the terminal is too narrow for its columns, each row as several lines."""
    from rich.table import Table

    from edgeser.cli.console import plain_console, width_of

    console = plain_console()
    if not rows:
        click.echo(f"no rows of {', '.join(columns)}", err=True)
        return
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*map(_shown, row))
    if width_of(table, console).minimum <= console.width:
        console.print(table)
        return
    for row in rows:
        for name, value in zip(columns, row, strict=True):
            click.echo(f"{name}: {_shown(value)}")
        click.echo()


@lake.command()
@click.argument("folder", type=PATH)
def sql(folder: Path) -> None:
    """Print the views finals, speech and faults, as SQL for DuckDB's own shell.

    Example: edgeser lake sql lake > views.sql && duckdb -init views.sql
    """
    _parquet()
    from edgeser.lake.queries import views

    click.echo(views(folder) or "-- there is nothing in this lake yet")


def _parquet() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UserError("pyarrow is not installed", "pip install 'edgeser[lake]'") from error


def _shown(value: object) -> str:
    import datetime

    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, dict):
        return " ".join(f"{name} {count}" for name, count in value.items())
    return str(value)
