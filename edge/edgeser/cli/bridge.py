"""``edgeser bridge``: hand the events on to other systems."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.options import given, settings_option

if TYPE_CHECKING:
    from edgeser.events.subscribe.catch_up import Position
    from edgeser.events.subscribe.subscriber import Subscriber

TIMEOUT_S = 0.1
"""A bridge waits for events at most so long before it looks after the other side."""

STATUS_INTERVAL_S = 2.0


@click.group()
def bridge() -> None:
    """Hand the events of a daemon on to other systems.

    A bridge is a process of its own: it cannot slow the daemon. See docs/bridges.md.

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
@click.argument("broker", metavar="HOST[:PORT]", required=False)
@settings_option
@click.option("--tls", is_flag=True, default=None, help="Encrypt, and check the certificate.")
@click.option("--ca", metavar="FILE", help="The CA that signed it (PEM). Default: the system's.")
@click.option("--user", metavar="NAME", help="Who we are to the broker.")
@click.option("--password-file", metavar="FILE", help="A file with the password in its first line.")
@click.option("--node", metavar="NAME", help="Name of this machine. Default: its host name.")
@click.option("--discovery", metavar="PREFIX|off", help="Describe the streams to Home Assistant.")
@click.option("--connect", metavar="ENDPOINT", help="Where the daemon publishes.")
@click.option(
    "--key",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Our secret key, for TCP that is encrypted ('edgeser keys new').",
)
@click.option("--server-key", metavar="KEY", help="The daemon's public key.")
@click.option("--cursor", metavar="FILE", help="Where to note how far the broker has been told.")
@click.option(
    "--since", metavar="EPOCH:SEQ", help="Where to begin at the very first time; 'all': everything."
)
def mqtt(
    broker: str | None,
    settings_file: Path | None,
    tls: bool | None,
    ca: str | None,
    user: str | None,
    password_file: str | None,
    node: str | None,
    discovery: str | None,
    connect: str | None,
    key: Path | None,
    server_key: str | None,
    cursor: str | None,
    since: str | None,
) -> None:
    """Hand events on to an MQTT broker, described for Home Assistant.

    Finals, speech events and faults arrive at least once, whatever is killed on the way. A broker
    that cannot be reached is waited for.
    """
    from edgeser.bridges.feed import TOPICS
    from edgeser.bridges.mqtt import metrics
    from edgeser.bridges.mqtt.address import from_settings
    from edgeser.bridges.mqtt.bridge import MqttBridge
    from edgeser.bridges.mqtt.session import Plan
    from edgeser.bridges.mqtt.topics import Topics
    from edgeser.bridges.position_file import PositionFile
    from edgeser.daemon import logs
    from edgeser.daemon.service_manager import ServiceManager
    from edgeser.events.subscribe.catch_up import parse_position
    from edgeser.events.subscribe.subscriber import Subscriber
    from edgeser.paths import state_folder
    from edgeser.settings.load import load_settings

    logs.set_up(verbose=False)
    settings = load_settings(
        settings_file,
        flags=given(
            mqtt__broker=broker,
            mqtt__tls=tls,
            mqtt__ca=ca,
            mqtt__user=user,
            mqtt__password_file=password_file,
            mqtt__node=node,
            mqtt__discovery=discovery,
            mqtt__connect=connect,
            mqtt__cursor=cursor,
        ),
    )
    wanted = settings.mqtt
    endpoint = wanted.connect or settings.events.bind[0]
    address = from_settings(wanted)
    address.password(), address.tls_context()  # say at once what is wrong with our own files

    def subscribe(since: Position | None) -> Subscriber:
        return Subscriber(
            endpoint, TOPICS, timeout_s=TIMEOUT_S, since=since, key=key, server_key=server_key
        )

    subscribe(None).close()
    start = parse_position(since) if since else None
    path = Path(wanted.cursor).expanduser() if wanted.cursor else state_folder() / "mqtt.cursor"
    file = PositionFile(path)
    try:
        notifier = ServiceManager()
        shown_at = 0.0

        def on_turn() -> None:
            nonlocal shown_at
            now = time.monotonic()
            if now - shown_at >= STATUS_INTERVAL_S:
                shown_at = now
                notifier.alive()
                notifier.status(running.figures.line)

        plan = Plan(
            broker=address,
            topics=Topics(wanted.prefix, wanted.name),
            subscribe=subscribe,
            file=file,
            discovery_prefix=None if wanted.discovery == "off" else wanted.discovery,
            start=start,
        )
        running = MqttBridge(plan, on_turn)
        if wanted.metrics:
            metrics.serve(running.figures, wanted.metrics, settings.metrics.hosts)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: running.stop())
        notifier.ready()
        running.run()
        notifier.stopping()
    finally:
        file.close()


@bridge.command(
    epilog="""Examples:

    \b
    edgeser bridge lsl
    edgeser bridge lsl --connect tcp://10.0.0.7:7788 --key lab.secret --server-key 'rq:r...'
    """
)
@click.option("--connect", metavar="ENDPOINT", help="Where the daemon publishes.")
@click.option(
    "--key",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Our secret key, for TCP that is encrypted ('edgeser keys new').",
)
@click.option("--server-key", metavar="KEY", help="The daemon's public key.")
@click.option("--node", metavar="NAME", help="Name of this machine. Default: its host name.")
def lsl(connect: str | None, key: Path | None, server_key: str | None, node: str | None) -> None:
    """Stream scores and markers to recorders of Lab Streaming Layer.

    For each stream of the daemon one of LSL with a channel per label, and one of markers.
    """
    import socket

    from edgeser.bridges.feed import TOPICS
    from edgeser.bridges.lsl import LslStreams
    from edgeser.events.sequence import Gap
    from edgeser.events.subscribe.subscriber import Subscriber

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    streams = LslStreams(node or socket.gethostname())
    with Subscriber(connect, TOPICS, key=key, server_key=server_key) as subscriber:
        try:
            for event in subscriber:
                if not isinstance(event, Gap):
                    streams.push(event)
        except KeyboardInterrupt:
            pass
