"""Reading settings: a TOML file, then ``EDGESER_*`` from the environment, then flags."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec

from edgeser.audio.network.address import parse_address
from edgeser.bridges.mqtt.address import parse_broker
from edgeser.bridges.mqtt.topics import check_prefix
from edgeser.bridges.nats.server import from_settings
from edgeser.errors import UserError
from edgeser.events.wire.endpoint import (
    Endpoint,
    TcpEndpoint,
    parse_bind_endpoint,
    replay_endpoint,
)
from edgeser.host_port import is_loopback, split_host_port
from edgeser.paths import (
    default_baselines,
    default_endpoint,
    default_journal,
    default_keys,
    expanded,
    service_folders,
    service_name,
)
from edgeser.settings.environment import ENVIRONMENT_PREFIX, from_environment
from edgeser.settings.schema import (
    MAX_STREAM_NAME,
    AudioSettings,
    EventSettings,
    MqttSettings,
    NatsSettings,
    Settings,
    SettingsError,
)
from edgeser.settings.toml_file import read_toml

_PATHS = (
    *("tokens", "certificate", "certificate_key", "keys", "path", "folder"),
    *("ca", "credentials", "password_file", "cursor"),
)
"""Keys whose values are paths, whatever their section."""

_FILES_TO_WRITE = ("journal.path", "mqtt.cursor", "nats.cursor")


def load_settings(
    file: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    defaults: Mapping[str, object] | None = None,
) -> Settings:
    """Settings from a file, the environment and flags (``{"model.name": ...}``); later ones win.

    ``file``: TOML. ``environment``: by default this process's. ``defaults``: replace the built-in
    ones. Raises SettingsError, a UserError, naming the key, the value and what is expected.
    """
    origin = str(file) if file else "settings"
    tree = read_toml(Path(file)) if file else {}
    for path, value in (defaults or {}).items():
        _put(tree, path, value, keep=True)
    variables = from_environment(os.environ if environment is None else environment)
    flags = flags or {}
    if any(path.startswith("audio.") for path in flags):
        tree.pop("source", None)  # a flag means one source, whatever the file lists
    audio = [path for path in variables if path.startswith("audio.")]
    if tree.get("source") and audio:
        variable = ENVIRONMENT_PREFIX + audio[0].replace(".", "_").upper()
        raise SettingsError(f"{variable}: {origin} lists [[source]] instead of [audio]; unset it")
    for layer in (variables, flags):
        _lay(tree, layer)
    settings = _convert(tree, origin)
    try:
        _check(settings)
    except UserError as error:
        raise SettingsError(f"{origin}: {error}") from error
    return settings


def load_daemon_settings(
    file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """Settings as their daemon has them, for commands that work on the daemon's data.

    A file in /etc/edgeser is a service's, whose folders are not those of the calling user. Raises
    SettingsError like ``load_settings``.
    """
    name = service_name(file) if file else None
    if name is None:
        return load_settings(file, environment, flags)
    folders = service_folders(name)
    defaults = {
        "events.bind": [default_endpoint(folders.runtime)],
        "events.keys": str(default_keys(folders.config)),
        "journal.path": str(default_journal(folders.state)),
        "baseline.path": str(default_baselines(folders.state)),
    }
    return load_settings(file, environment, flags, defaults)


def _lay(tree: dict[str, Any], layer: Mapping[str, object]) -> None:
    """Put a layer of values over the tree's."""
    below, source = tree.get("audio"), layer.get("audio.source")
    if isinstance(below, dict) and isinstance(source, str):
        for key in _not_of(AudioSettings(source=source)):  # keys of the replaced source
            below.pop(key, None)
    for path, value in layer.items():
        _put(tree, path, value)


def _put(tree: dict[str, Any], path: str, value: object, *, keep: bool = False) -> None:
    """Set a value; ``keep``: only if there is none."""
    section, _, key = path.partition(".")
    table = tree.setdefault(section, {})
    if isinstance(table, dict) and not (keep and key in table):
        table[key] = value


def _convert(tree: dict[str, Any], origin: str) -> Settings:
    try:
        # strict=False: the environment knows only text.
        return msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{origin}: {_readable(str(error), tree)}") from error


def _check(settings: Settings) -> None:
    """Check what types cannot express. Raises UserError with key, value and expectation."""
    names: set[str] = set()
    section = "source" if settings.source else "audio"
    for audio in settings.sources:
        name = audio.name
        if not name.isprintable() or len(name) > MAX_STREAM_NAME:
            raise UserError(
                f"{section}.stream: expected at most {MAX_STREAM_NAME} printable characters, "
                f"got {len(name)}: {name[:40]!r}"
            )
        if audio.tokens is None and name in names:
            raise UserError(
                f"{section}.stream: two sources are called '{name}'; name each by 'stream'"
            )
        if audio.tokens is None:
            names.add(name)
        for key, kind in _not_of(audio).items():
            if getattr(audio, key) is not None:
                raise UserError(f"{section}.{key}: {audio.source!r} is no {kind}; leave it out")
        if audio.is_network:
            _check_network(audio, section)
    _check_paths(settings)
    _check_bind(settings.events)
    for key, listen in (
        ("metrics.listen", settings.metrics.listen),
        ("mqtt.metrics", settings.mqtt.metrics),
        ("nats.metrics", settings.nats.metrics),
        ("lake.metrics", settings.lake.metrics),
    ):
        if listen is None:
            continue
        host, _ = host_and_port(listen, key)
        if not is_loopback(host) and not settings.metrics.hosts:
            raise UserError(
                f"{key}: {listen} is open to other machines, unencrypted and without a password",
                "listen on 127.0.0.1, or name in metrics.hosts the HOST:PORT by which it may be "
                "requested",
            )
    for name in settings.metrics.hosts:
        if split_host_port(name, 80) is None:
            raise UserError(f"metrics.hosts: expected HOST:PORT, got {name!r}")
    _check_mqtt(settings.mqtt)
    _check_nats(settings.nats)
    if settings.lake.server is not None:
        from_settings(settings.lake, "lake")


def _check_bind(events: EventSettings) -> None:
    """Check that endpoints do not collide: each takes its own address, and one for its replay."""
    if not events.bind:
        raise UserError("events.bind: expected an endpoint at least, got []")
    taken: set[Endpoint] = set()
    for text in events.bind:
        try:
            endpoint = parse_bind_endpoint(text, encrypted=events.curve)
            beside = replay_endpoint(endpoint)
        except UserError as error:
            raise UserError(f"events.bind: {error}") from error
        if isinstance(endpoint, TcpEndpoint) and endpoint.port == 0:  # any free ones
            continue
        if not taken.isdisjoint((endpoint, beside)):
            raise UserError(
                f"events.bind: '{text}' collides with another endpoint: each also uses the one "
                f"next to it, as this uses '{beside}'",
                "use another path, or a port that is two higher",
            )
        taken |= {endpoint, beside}


def _check_paths(settings: Settings) -> None:
    for section in settings.__struct_fields__:
        found = getattr(settings, section)
        for table in found if isinstance(found, list) else [found]:
            for key in set(_PATHS).intersection(table.__struct_fields__):
                if text := getattr(table, key):
                    path = expanded(text, f"{section}.{key}")
                    if f"{section}.{key}" in _FILES_TO_WRITE and os.path.isdir(path):
                        raise UserError(f"{section}.{key}: {text}: this is a folder", "name a file")


def _not_of(audio: AudioSettings) -> dict[str, str]:
    """The keys that do not apply to a source, each with the kind of source that it is for."""
    keys: dict[str, str] = {}
    if audio.source != "mic":
        keys |= dict.fromkeys(("device", "channel"), "microphone")
    if not audio.is_network:
        keys |= dict.fromkeys(("tokens", "certificate", "certificate_key"), "network address")
    return keys


def _check_network(audio: AudioSettings, section: str) -> None:
    """Check that sound from other machines is encrypted, and from known devices."""
    address = parse_address(audio.source)
    needed = ("certificate", "certificate_key")
    for key in needed:
        if not address.tls and getattr(audio, key) is not None:
            raise UserError(f"{section}.{key}: {audio.source!r} is not encrypted", "use tls://")
    missing = [key for key in ("tokens", *needed) if address.tls and getattr(audio, key) is None]
    if missing:
        raise UserError(
            f"{section}.{missing[0]}: {audio.source!r} needs it", "see docs/microphones.md"
        )
    if audio.tokens is not None and audio.stream is not None:
        raise UserError(f"{section}.stream: the tokens name the streams; leave it out")


def _check_mqtt(mqtt: MqttSettings) -> None:
    if mqtt.broker is not None:
        parse_broker(mqtt.broker, tls=mqtt.tls)
    if mqtt.ca is not None and not mqtt.tls:
        raise UserError("mqtt.ca: the broker is reached without TLS", "add --tls, or set mqtt.tls")
    if mqtt.password_file is not None and mqtt.user is None:
        raise UserError("mqtt.password_file: there is no user", "add --user, or set mqtt.user")
    _check_name("mqtt.node", mqtt.name)
    check_prefix("mqtt.prefix", mqtt.prefix)
    check_prefix("mqtt.discovery", mqtt.discovery)


def _check_nats(nats: NatsSettings) -> None:
    if nats.server is not None:
        from_settings(nats, "nats")
    _check_name("nats.site", nats.site)
    _check_name("nats.device", nats.name)


def _check_name(key: str, name: str) -> None:
    if not name or not name.isprintable() or len(name) > MAX_STREAM_NAME:
        raise UserError(
            f"{key}: expected at most {MAX_STREAM_NAME} printable characters, "
            f"got {len(name)}: {name[:40]!r}"
        )


def host_and_port(listen: str, key: str = "metrics.listen") -> tuple[str, int]:
    """Where the metrics are served, from ``HOST:PORT``. Raises UserError."""
    found = split_host_port(listen)
    if found is None:
        raise UserError(f"{key}: expected HOST:PORT, got {listen!r}")
    return found


def _readable(message: str, tree: dict[str, Any]) -> str:
    """msgspec's ``Expected `float` > 0 - at `$.speech.min_seconds``` as path, wish and value."""
    wish, _, location = message.replace("`object`", "table").partition(" - at `$")
    path = location.strip("`.")
    kind: Any = Settings
    value: Any = tree
    for part in re.findall(r"[^.\[\]]+", path):
        if part.isdecimal():
            kind, value = get_args(kind)[0], value[int(part)]
        else:
            kind = next(f.type for f in msgspec.structs.fields(kind) if f.name == part)
            value = value.get(part) if isinstance(value, dict) else None
    if wish.startswith("Object contains unknown field"):
        unknown = wish.rpartition(" ")[2].strip("`")
        where = f"{path}.{unknown}" if path else unknown
        return f"{where}: unknown key; there are {', '.join(kind.__struct_fields__)}"
    if wish.startswith("Invalid enum value"):
        wish = f"expected one of {', '.join(get_args(kind))}"
    wish = wish.partition(", got ")[0].replace("`", "")
    if wish == "Expected array" and isinstance(value, dict):
        wish = f"expected two brackets, [[{path}]]"
    # JSON has no word for nan and inf.
    got = str(value) if isinstance(value, float) else msgspec.json.encode(value).decode()
    return f"{path}: {wish[:1].lower()}{wish[1:]}, got {got}"
