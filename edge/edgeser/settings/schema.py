"""The settings and their defaults: one type a section."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from edgeser.errors import UserError
from edgeser.paths import (
    default_baselines,
    default_endpoint,
    default_journal,
    default_keys,
    expanded,
    state_folder,
)

DEFAULT_MODEL = "streaming6"

BackendName: TypeAlias = Literal["auto", "onnxruntime", "tensorrt"]
"""What may run a model, as a user names it."""

MAX_STREAM_NAME = 120
"""Characters; a topic, which is ``emotion.`` or the like and the name, has at most 128."""

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
    tokens: str | None = None
    certificate: str | None = None
    certificate_key: str | None = None

    @property
    def is_network(self) -> bool:
        """Whether it is an address at which microphones connect."""
        return self.source.startswith(("tcp://", "tls://"))

    @property
    def name(self) -> str:
        """The stream's name, in topics and events; with ``tokens`` these name the streams."""
        known = {"mic": "mic", "-": "stdin"}
        return self.stream or known.get(self.source, "network" if self.is_network else "file")

    @property
    def file(self) -> Path | None:
        """The sound file, if it is one."""
        return None if self.source in ("mic", "-") or self.is_network else Path(self.source)


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
    confirm: bool = True
    confirm_probability: Annotated[float, Meta(gt=0, le=1)] = 0.85


class DecisionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is made of the scores."""

    abstain_below: Annotated[float, Meta(ge=0, lt=1)] | None = None
    noise_above: Annotated[float, Meta(ge=0, le=1)] = 0.5
    smoothing_weight: Annotated[float, Meta(gt=0, le=1)] = 0.4
    smoothing_margin: Annotated[float, Meta(ge=0, le=1)] = 0.1


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model runs, and on what.

    ``labels``: those of its labels that are to be told apart; none means all.
    """

    name: str = DEFAULT_MODEL
    backend: BackendName = "auto"
    labels: list[str] = []


class EventSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where events are published."""

    bind: list[str] = msgspec.field(default_factory=lambda: [default_endpoint()])
    curve: bool = False
    keys: str | None = None
    mute_by: Literal["owner", "group", "nobody"] = "owner"

    @property
    def nearest(self) -> str:
        """The endpoint for programs on this machine: the first ipc://, if there is one."""
        return next((one for one in self.bind if one.startswith("ipc:")), self.bind[0])

    @property
    def key_folder(self) -> Path:
        """Where the keys are, or would be."""
        return expanded(self.keys, "events.keys") if self.keys else default_keys()


class JournalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of finals, speech events and faults."""

    enabled: bool = True
    path: str | None = None
    max_days: Annotated[float, Meta(gt=0, le=3650)] = 30.0
    max_mb: Annotated[float, Meta(ge=1, le=100_000)] = 100.0

    @property
    def file(self) -> Path:
        """Where the journal is, or would be."""
        return expanded(self.path, "journal.path") if self.path else default_journal()


class BaselineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is learned of how voices usually sound, and kept of those at microphones."""

    learn: bool = True
    keep: bool = True
    path: str | None = None

    @property
    def store(self) -> Path:
        """The folder of the baselines."""
        return expanded(self.path, "baseline.path") if self.path else default_baselines()


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where Prometheus finds its metrics."""

    listen: str | None = None
    hosts: list[str] = []


class MqttSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To which MQTT broker 'edgeser bridge mqtt' hands the events on."""

    broker: str | None = None
    tls: bool = False
    ca: str | None = None
    user: str | None = None
    password_file: str | None = None
    node: str | None = None
    prefix: str = "edgeser"
    discovery: str = "homeassistant"
    connect: str | None = None
    cursor: str | None = None
    metrics: str | None = None

    @property
    def name(self) -> str:
        """This machine's name in topics."""
        return self.node or socket.gethostname()


class NatsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To which NATS server 'edgeser bridge nats' hands the events on."""

    server: str | None = None
    ca: str | None = None
    credentials: str | None = None
    user: str | None = None
    password_file: str | None = None
    site: str = "home"
    device: str | None = None
    connect: str | None = None
    cursor: str | None = None
    metrics: str | None = None

    @property
    def name(self) -> str:
        """This machine's name in subjects."""
        return self.device or socket.gethostname()


class LakeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From which NATS server 'edgeser lake fill' takes the events of a fleet, and where to."""

    server: str | None = None
    folder: str | None = None
    ca: str | None = None
    credentials: str | None = None
    user: str | None = None
    password_file: str | None = None
    every_seconds: Annotated[float, Meta(ge=1, le=3600)] = 300.0
    stream_gb: Annotated[float, Meta(ge=0.001, le=100_000)] = 10.0
    metrics: str | None = None

    @property
    def path(self) -> Path:
        """The folder of the tables."""
        return expanded(self.folder, "lake.folder") if self.folder else state_folder() / "lake"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings; every field has a default. ``source``, where given, replaces ``audio``."""

    audio: AudioSettings = AudioSettings()
    source: list[AudioSettings] = []
    speech: SpeechSettings = SpeechSettings()
    decision: DecisionSettings = DecisionSettings()
    model: ModelSettings = ModelSettings()
    events: EventSettings = msgspec.field(default_factory=EventSettings)
    journal: JournalSettings = JournalSettings()
    baseline: BaselineSettings = BaselineSettings()
    metrics: MetricsSettings = MetricsSettings()
    mqtt: MqttSettings = MqttSettings()
    nats: NatsSettings = NatsSettings()
    lake: LakeSettings = LakeSettings()

    @property
    def sources(self) -> list[AudioSettings]:
        """What to listen to: one stream each."""
        return self.source or [self.audio]
