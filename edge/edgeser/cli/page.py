"""``edgeser page``: what a daemon hears, in a browser."""

from __future__ import annotations

from pathlib import Path

import click

from edgeser.cli.options import PATH, settings_option
from edgeser.cli.server_options import daemon_options
from edgeser.errors import UserError


@click.command(
    epilog="""Examples:

    \b
    edgeser page
    edgeser page --connect ipc:///run/edgeser/events.sock --open
    edgeser page --settings kitchen.toml
    edgeser page --listen 192.168.1.5:7780 --token page.token --tls-cert c.pem --tls-key k.pem
    edgeser page --proxy https://home.example --token page.token
    """
)
@daemon_options
@click.option(
    "--journal",
    metavar="FILE",
    type=PATH,
    help="The daemon's journal.  [default: that of the settings; with --connect the page requests "
    "past events from the daemon]",
)
@settings_option
@click.option(
    "--listen",
    "listen_at",
    metavar="HOST:PORT",
    default="127.0.0.1:7780",
    show_default=True,
    help="Where the page is served.",
)
@click.option(
    "--name",
    "names",
    metavar="NAME",
    multiple=True,
    help="Also reached under this name or address (repeatable).",
)
@click.option(
    "--token", "token_file", metavar="FILE", type=PATH, help="Require the token in this file."
)
@click.option("--tls-cert", metavar="FILE", type=PATH, help="Certificate, for HTTPS.")
@click.option("--tls-key", metavar="FILE", type=PATH, help="Its key.")
@click.option("--proxy", metavar="ORIGIN", help="A reverse proxy serves the page as https://NAME.")
@click.option("--open", "opens", is_flag=True, help="Open it in a browser.")
def page(
    connect: str | None,
    journal: Path | None,
    settings_file: Path | None,
    listen_at: str,
    names: tuple[str, ...],
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    proxy: str | None,
    key: Path | None,
    server_key: str | None,
    opens: bool,
) -> None:
    """Serve a page that shows what a daemon hears, its history and its health.

    The daemon need not run yet, and may be restarted. The page is read-only. Beyond this machine it
    needs a token, and TLS or a reverse proxy: docs/security.md.
    """
    try:
        from edgeser.page.server import Tls, serve
    except ModuleNotFoundError as error:
        raise UserError(
            f"the page needs {error.name}, which is not installed",
            "pip install 'edgeser[page]'",
        ) from error
    from edgeser.page.assets import check_assets
    from edgeser.page.listener import Daemon
    from edgeser.page.security import parse_listen, read_token
    from edgeser.settings.load import load_daemon_settings

    check_assets()
    if connect and settings_file:
        raise UserError(
            "--connect and --settings: both say where the daemon publishes", "leave one out"
        )
    if (tls_cert is None) != (tls_key is None):
        raise UserError("--tls-cert and --tls-key belong together; give both")
    token = read_token(token_file) if token_file else None
    tls = Tls(tls_cert, tls_key) if tls_cert and tls_key else None
    listen = parse_listen(listen_at, names=names, proxy=proxy, tls=tls is not None, token=token)
    if connect is None:
        settings = load_daemon_settings(settings_file)
        connect = settings.events.nearest
        journal = journal or settings.journal.file

    def ready(url: str) -> None:
        click.echo(f"The page is at {url}/login" if token else f"The page is at {url}/")
        if opens:
            click.launch(url)

    serve(Daemon(connect, key, server_key), journal, listen, token, tls, ready=ready)
