"""Settings: a TOML file, then ``EDGESER_*`` from the environment, then flags."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from edgeser.errors import UserError
from edgeser.events.wire.endpoint import parse_bind_endpoint, replay_endpoint
from edgeser.model.artefact import DEFAULT_MODEL, WindowPolicy
from edgeser.model.backends.protocol import BackendName
from edgeser.paths import config_folder, default_endpoint, default_journal
from edgeser.speech.segmenter import SegmenterConfig, frames_in

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENVIRONMENT_PREFIX = "EDGESER_"

MAX_STREAM_NAME = 120
"""Characters; a topic, the name behind ``emotion.`` or the like, has at most 128."""

Duration = Annotated[float, Meta(gt=0, le=60)]
Decibels = Annotated[float, Meta(ge=0, le=60)]


class SettingsError(UserError):
    """A settings file, variable or flag that cannot be accepted."""


class AudioSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the sound comes from."""

    source: str = "mic"
    device: str | None = None
    channel: Annotated[int, Meta(ge=0)] | None = None
    stream: str | None = None
    stall_seconds: Duration = 1.5

    @property
    def name(self) -> str:
        """Of the stream, in topics and events."""
        return self.stream or {"mic": "mic", "-": "stdin"}.get(self.source, "file")

    @property
    def file(self) -> Path | None:
        """The sound file, if it is one."""
        return None if self.source in ("mic", "-") else Path(self.source)


class SpeechSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What counts as speech, and how it is cut."""

    vad_mode: Annotated[int, Meta(ge=0, le=3)] = 2
    start_snr_db: Decibels = 9.0
    end_snr_db: Decibels = 5.0
    start_seconds: Duration = 0.1
    start_within_seconds: Duration = 0.2
    pre_roll_seconds: Annotated[float, Meta(ge=0, le=2)] = 0.2
    end_seconds: Annotated[float, Meta(ge=0.02, le=5)] = 0.5
    hangover_seconds: Annotated[float, Meta(ge=0, le=5)] = 0.1
    min_seconds: Annotated[float, Meta(ge=0, le=60)] = 0.25
    max_seconds: Duration | None = None
    window_seconds: Duration | None = None
    hop_seconds: Annotated[float, Meta(ge=0.1, le=60)] = 0.5


class DecisionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is made of the scores."""

    abstain_below: Annotated[float, Meta(ge=0, lt=1)] | None = None
    smoothing_weight: Annotated[float, Meta(gt=0, le=1)] = 0.4
    smoothing_margin: Annotated[float, Meta(ge=0, le=1)] = 0.1


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model runs, and on what."""

    name: str = DEFAULT_MODEL
    backend: BackendName = "auto"


class EventSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where events are published."""

    bind: list[str] = msgspec.field(default_factory=lambda: [default_endpoint()])
    curve: bool = False
    keys: str | None = None

    @property
    def key_folder(self) -> Path:
        """Where the keys are, or would be."""
        return Path(self.keys).expanduser() if self.keys else config_folder() / "keys"


class JournalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of finals, speech events and faults."""

    enabled: bool = True
    path: str | None = None
    max_days: Annotated[float, Meta(gt=0, le=3650)] = 30.0
    max_mb: Annotated[float, Meta(ge=1, le=100_000)] = 100.0

    @property
    def file(self) -> Path:
        """Where the journal is, or would be."""
        return Path(self.path).expanduser() if self.path else default_journal()


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where Prometheus finds its metrics."""

    listen: str | None = None


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings; every field has a default. ``source``, where given, replaces ``audio``."""

    audio: AudioSettings = AudioSettings()
    source: list[AudioSettings] = []
    speech: SpeechSettings = SpeechSettings()
    decision: DecisionSettings = DecisionSettings()
    model: ModelSettings = ModelSettings()
    events: EventSettings = msgspec.field(default_factory=EventSettings)
    journal: JournalSettings = JournalSettings()
    metrics: MetricsSettings = MetricsSettings()

    @property
    def sources(self) -> list[AudioSettings]:
        """What to listen to: one stream each."""
        return self.source or [self.audio]


def load_settings(
    file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """Settings from a file, the environment and flags (``{"model.name": ...}``), later ones first.

    Raises SettingsError naming the key, the value and what is expected.
    """
    origin = str(file) if file else "settings"
    tree = _read(file) if file else {}
    variables, flags = _from_environment(environment), flags or {}
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


def segmenter_config(speech: SpeechSettings, window: WindowPolicy) -> SegmenterConfig:
    """The settings in frames, within what the model can take. Raises SettingsError."""
    maximum = speech.max_seconds or window.max_seconds
    if maximum > window.max_seconds:
        raise SettingsError(
            f"speech.max_seconds: the model takes at most {window.max_seconds} s, got {maximum}"
        )
    length = speech.window_seconds or window.seconds
    if length > maximum:
        raise SettingsError(
            f"speech.window_seconds: expected at most max_seconds ({maximum}), got {length}"
        )
    try:
        return SegmenterConfig(
            start_snr_db=speech.start_snr_db,
            end_snr_db=speech.end_snr_db,
            start=max(1, frames_in(speech.start_seconds)),
            start_within=max(1, frames_in(speech.start_within_seconds)),
            pre_roll=frames_in(speech.pre_roll_seconds),
            end=frames_in(speech.end_seconds),
            hangover=frames_in(speech.hangover_seconds),
            minimum=frames_in(speech.min_seconds),
            maximum=frames_in(maximum),
            window=frames_in(length),
            window_minimum=frames_in(min(length, window.min_seconds)),
            hop=frames_in(speech.hop_seconds),
        )
    except ValueError as error:
        raise SettingsError(f"speech: {error}") from error


def _read(file: Path) -> dict[str, Any]:
    try:
        tree: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"settings {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings {file}: not TOML: {error}") from error
    return tree


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    """``EDGESER_SPEECH_MIN_SECONDS=0.3`` means ``speech.min_seconds``; lists are comma-separated.

    A variable whose second word is no section belongs to somebody else.
    """
    found: dict[str, object] = {}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        section, _, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
        if section in Settings.__struct_fields__ and key:
            found[f"{section}.{key}"] = text.split(",") if key == "bind" else text
    return found


def _lay(tree: dict[str, Any], layer: Mapping[str, object]) -> None:
    """Put values over those that are there."""
    below = tree.get("audio")
    if layer.get("audio.source", "mic") != "mic" and isinstance(below, dict):
        for key in ("device", "channel"):  # of the microphone that is not heard now
            below.pop(key, None)
    for path, value in layer.items():
        _put(tree, path, value)


def _put(tree: dict[str, Any], path: str, value: object) -> None:
    section, _, key = path.partition(".")
    table = tree.setdefault(section, {})
    if isinstance(table, dict):
        table[key] = value


def _convert(tree: dict[str, Any], origin: str) -> Settings:
    try:
        # strict=False: the environment knows only text.
        return msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{origin}: {_readable(str(error), tree)}") from error


def _check(settings: Settings) -> None:
    """What types do not say. Raises UserError naming the key, the value and what is expected."""
    names: set[str] = set()
    section = "source" if settings.source else "audio"
    for audio in settings.sources:
        name = audio.name
        if not name.isprintable() or len(name) > MAX_STREAM_NAME:
            raise UserError(
                f"{section}.stream: expected at most {MAX_STREAM_NAME} printable characters, "
                f"got {len(name)}: {name[:40]!r}"
            )
        if name in names:
            raise UserError(
                f"{section}.stream: two sources are called '{name}'; name each by 'stream'"
            )
        names.add(name)
        for key in ("device", "channel"):
            if audio.source != "mic" and getattr(audio, key) is not None:
                raise UserError(f"{section}.{key}: {audio.source!r} is no microphone; leave it out")
    if not settings.events.bind:
        raise UserError("events.bind: expected an endpoint at least, got []")
    for text in settings.events.bind:
        try:
            replay_endpoint(parse_bind_endpoint(text, encrypted=settings.events.curve))
        except UserError as error:
            raise UserError(f"events.bind: {error}") from error
    if settings.metrics.listen is not None:
        host_and_port(settings.metrics.listen)


def host_and_port(listen: str) -> tuple[str, int]:
    """Where the metrics are served, out of ``HOST:PORT``. Raises UserError."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or len(port) > 5 or int(port) > 65535:
        raise UserError(f"metrics.listen: expected HOST:PORT, got {listen!r}")
    return host, int(port)


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
    return f"{path}: {wish[:1].lower()}{wish[1:]}, got {msgspec.json.encode(value).decode()}"
