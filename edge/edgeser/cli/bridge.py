"""``edgeser bridge``: hand the events on to other systems."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from edgeser.cli.group import Group
from edgeser.cli.options import given_in, settings_option
from edgeser.cli.server_options import (
    credentials_option,
    cursor_options,
    daemon_options,
    login_options,
)

if TYPE_CHECKING:
    from edgeser.bridges.bridge import Bridge
    from edgeser.bridges.feed import Upstream
    from edgeser.events.subscribe.catch_up import Position
    from edgeser.events.subscribe.subscriber import Subscriber
    from edgeser.settings.schema import Settings


TIMEOUT_S = 0.1
"""How long a bridge waits for events before it serves the other side."""

STATUS_INTERVAL_S = 2.0


@click.group(cls=Group)
def bridge() -> None:
    """Forward the events of a daemon to other systems.

    A bridge is a separate process: it cannot block the daemon. See docs/bridges.md.

    Example: edgeser bridge mqtt homeassistant.local
    """


@bridge.command(
    epilog="""Examples:

    \b
    edgeser bridge mqtt homeassistant.local --user edgeser --password-file ~/.mqtt
    edgeser bridge mqtt broker.example:8883 --tls --ca ca.pem
    edgeser bridge mqtt --settings /etc/edgeser/edgeser.toml
    """
)
@click.argument("broker", metavar="[HOST[:PORT]]", required=False)
@settings_option
@click.option("--tls", is_flag=True, default=None, help="Use TLS, and verify the certificate.")
@login_options
@click.option("--node", metavar="NAME", help="Name of this machine.  [default: its host name]")
@click.option(
    "--discovery",
    metavar="PREFIX|off",
    help="Describe the streams to Home Assistant in topics below this.  [default: homeassistant]",
)
@daemon_options
@cursor_options
def mqtt(
    settings_file: Path | None,
    key: Path | None,
    server_key: str | None,
    since: str | None,
    **flags: str | bool | None,
) -> None:
    """Forward events to an MQTT broker, with Home Assistant discovery.

    Finals, speech events and faults arrive at least once, whatever is killed on the way. If the
    broker cannot be reached, the bridge keeps trying.
    """
    from edgeser.bridges.mqtt.address import from_settings
    from edgeser.bridges.mqtt.bridge import MqttBridge
    from edgeser.bridges.mqtt.session import Plan
    from edgeser.bridges.mqtt.topics import Topics
    from edgeser.daemon import logs
    from edgeser.settings.load import load_daemon_settings

    logs.set_up(verbose=False)
    settings = load_daemon_settings(settings_file, flags=given_in("mqtt", flags))
    wanted = settings.mqtt
    address = from_settings(wanted)
    address.password(), address.tls_context()  # raise at once if our own files are wrong

    def make(upstream: Upstream, on_turn: Callable[[], None]) -> MqttBridge:
        discovery_prefix = None if wanted.discovery == "off" else wanted.discovery
        topics = Topics(wanted.prefix, wanted.name)
        return MqttBridge(Plan(upstream, address, topics, discovery_prefix), on_turn)

    _run("mqtt", "broker", settings, make, key, server_key, since)


@bridge.command(
    epilog="""Examples:

    \b
    edgeser bridge nats tls://hub.example --site berlin --device hall --credentials hall.creds
    edgeser bridge nats nats://127.0.0.1:4222
    edgeser bridge nats --settings /etc/edgeser/edgeser.toml
    """
)
@click.argument("server", metavar="[nats://HOST[:PORT]|tls://...]", required=False)
@settings_option
@click.option("--site", metavar="NAME", help="Site of this machine.  [default: home]")
@click.option("--device", metavar="NAME", help="Name of this machine.  [default: its host name]")
@credentials_option
@login_options
@daemon_options
@cursor_options
def nats(
    settings_file: Path | None,
    key: Path | None,
    server_key: str | None,
    since: str | None,
    **flags: str | None,
) -> None:
    """Forward events to NATS JetStream, for a fleet: docs/fleet.md.

    Finals, speech events and faults arrive at least once, whatever is killed on the way. If the
    server cannot be reached, the bridge keeps trying.
    """
    from edgeser.bridges.nats.bridge import NatsBridge
    from edgeser.bridges.nats.server import from_settings
    from edgeser.bridges.nats.subjects import Device
    from edgeser.daemon import logs
    from edgeser.settings.load import load_daemon_settings

    logs.set_up(verbose=False)
    settings = load_daemon_settings(settings_file, flags=given_in("nats", flags))
    wanted = settings.nats
    address = from_settings(wanted, "nats")
    address.check()

    def make(upstream: Upstream, on_turn: Callable[[], None]) -> NatsBridge:
        return NatsBridge(upstream, address, Device(wanted.site, wanted.name), on_turn)

    _run("nats", "server", settings, make, key, server_key, since)


@bridge.command(
    epilog="""Examples:

    \b
    edgeser bridge lsl
    edgeser bridge lsl --connect tcp://10.0.0.7:7788 --key lab.secret --server-key 'rq:r...'
    """
)
@daemon_options
@click.option("--node", metavar="NAME", help="Name of this machine.  [default: its host name]")
def lsl(connect: str | None, key: Path | None, server_key: str | None, node: str | None) -> None:
    """Stream scores and markers to Lab Streaming Layer recorders.

    Each stream of the daemon becomes an LSL stream with a channel per label, and one of markers.
    """
    import socket

    from edgeser.bridges.feed import TOPICS
    from edgeser.bridges.lsl import LslStreams
    from edgeser.events.sequence import Gap
    from edgeser.events.subscribe.subscriber import Subscriber

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    streams = LslStreams(node or socket.gethostname())
    with Subscriber(connect, TOPICS, key=key, server_key=server_key) as subscriber:
        try:
            for event in subscriber:
                if not isinstance(event, Gap):
                    streams.push(event)
        except KeyboardInterrupt:
            pass


def _run(
    kind: Literal["mqtt", "nats"],
    other: str,
    settings: Settings,
    make: Callable[[Upstream, Callable[[], None]], Bridge],
    key: Path | None,
    server_key: str | None,
    since: str | None,
) -> None:
    """Run the bridge of a table of the settings until it is told to end.

    ``other``: what the other side is called.
    """
    from edgeser.bridges import figures
    from edgeser.bridges.feed import TOPICS, Upstream
    from edgeser.bridges.position_file import PositionFile
    from edgeser.daemon.service_manager import ServiceManager
    from edgeser.events.subscribe.catch_up import parse_since
    from edgeser.events.subscribe.subscriber import Subscriber
    from edgeser.paths import state_folder

    wanted = settings.mqtt if kind == "mqtt" else settings.nats
    endpoint = wanted.connect or settings.events.nearest

    def subscribe(since: Position | None) -> Subscriber:
        return Subscriber(
            endpoint, TOPICS, timeout_s=TIMEOUT_S, since=since, key=key, server_key=server_key
        )

    subscribe(None).close()
    start = parse_since(since) if since else None
    path = Path(wanted.cursor).expanduser() if wanted.cursor else state_folder() / f"{kind}.cursor"
    file = PositionFile(path)
    try:
        file.load()  # raises at once if it holds something else
        notifier = ServiceManager()
        shown_at, was_well = 0.0, False

        def on_turn() -> None:
            nonlocal shown_at, was_well
            now, is_well = time.monotonic(), running.figures.is_well
            if now - shown_at >= STATUS_INTERVAL_S or is_well != was_well:
                shown_at, was_well = now, is_well
                notifier.alive()
                notifier.status(running.figures.line, well=is_well)

        running = make(Upstream(subscribe, file, start), on_turn)
        if wanted.metrics:
            figures.serve(running.figures, wanted.metrics, kind, other, settings.metrics.hosts)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: running.stop())
        notifier.ready()
        running.run()
        notifier.stopping()
    finally:
        file.close()
