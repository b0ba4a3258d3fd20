"""Checks of an installation: each says what it found, or raises what is wrong and how to fix it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgeser.errors import UserError
from edgeser.module_command import module_command
from edgeser.regular_file import regular
from edgeser.settings.schema import Settings

if TYPE_CHECKING:
    from edgeser.events.wire.keys import KeyFolder


WRONG_PACE_FIX = (
    "have the device record 16 kHz, mono, 16 bit, or choose another; "
    "'edgeser events --topic fault' has the figures"
)
"""For sound that comes faster or slower than time passes."""


class Finding(msgspec.Struct, frozen=True):
    """The result of a check. ``fix``: empty if all is well; with ``ok``, it undoes something that a
    user asked for.
    """

    check: str
    ok: bool
    found: str
    fix: str = ""


class AskedForError(UserError):
    """A state that a user asked for: not a failure, but worth knowing. ``fix`` undoes it."""


def examine(settings: Settings, only: Sequence[str] | None = None) -> Iterator[Finding]:
    """Run every check, or those named, one after the other; none of them raises."""
    for name in _CHECKS if only is None else only:
        try:
            yield Finding(name, True, _CHECKS[name](settings))
        except UserError as error:
            asked_for = isinstance(error, AskedForError)
            yield Finding(name, asked_for, error.what, error.fix or "see the message")
        except Exception as error:  # whatever a broken installation throws is a finding
            yield Finding(name, False, f"{type(error).__name__}: {error}", "reinstall edgeser")


def _environment(_: Settings) -> str:
    from edgeser.settings.environment import unread_variables

    if lines := unread_variables(os.environ):
        raise UserError(
            ", ".join(lines), "name an existing section ('edgeser settings show'), or unset it"
        )
    return "every variable that looks like a setting is one"


def _microphones(settings: Settings) -> str:
    from edgeser.audio.devices import find_device, input_devices
    from edgeser.doctor.hearing import is_heard, running_streams

    wanted = [audio for audio in settings.sources if audio.source == "mic"]
    if not wanted:
        return "not needed: the settings name other sources"
    devices = input_devices()
    try:
        chosen = [devices[find_device(devices, audio.device)].name for audio in wanted]
    except UserError as error:
        # PortAudio does not list a device that a program, such as the daemon, has to itself.
        streams = running_streams(settings.events.nearest)
        if all(is_heard(streams.get(audio.name)) for audio in wanted):
            return "in use by the daemon that runs"
        if not devices:
            raise UserError(
                "PortAudio works but finds no microphone",
                "plug one in, or end the program that has it to itself; as a service, see that "
                "the user is in the group 'audio'; without one, use --source FILE",
            ) from error
        section = "source" if settings.source else "audio"
        raise UserError(str(error), f"set {section}.device, or use --device") from error
    return f"{len(devices)} found; {', '.join(map(repr, chosen))} would be used"


def _level(settings: Settings) -> str:
    from edgeser.doctor.hearing import DIGITAL_SILENCE_DBFS, level_dbfs, meter, running_streams

    wanted = [audio for audio in settings.sources if audio.source == "mic"]
    if not wanted:
        return "not needed: the settings name other sources"
    streams = running_streams(settings.events.nearest)
    found, silent = [], False
    for audio in wanted:
        status = streams.get(audio.name)
        if status is None:
            level = level_dbfs(audio)
        elif status.muted:
            found.append("muted")
            continue
        elif status.state == "no_audio" or status.level_dbfs is None:
            raise UserError(
                f"the daemon hears nothing on {audio.name}",
                "'edgeser listen' shows its faults; plug the microphone in again",
            )
        else:  # the daemon has the device to itself
            level = status.level_dbfs
        found.append(meter(level))
        silent = silent or level < DIGITAL_SILENCE_DBFS
    if silent:
        raise UserError(
            f"{', '.join(found)}: no sound arrives, not even noise",
            "unmute it and turn it up (alsamixer, pavucontrol), or choose another device",
        )
    hint = "" if set(found) == {"muted"} else " (say something, and it rises)"
    return f"{', '.join(found)}{hint}"


def _sound_files(settings: Settings) -> str:
    from edgeser.audio.file import FileSource

    files = [audio.file for audio in settings.sources if audio.file is not None]
    found = [f"{file}, {FileSource(file).duration_s:.1f} s" for file in files]
    return "; ".join(found) or "none is played"


def _network(settings: Settings) -> str:
    from edgeser.audio.open import check_names, network_parts

    sources = [audio for audio in settings.sources if audio.is_network]
    for audio in sources:
        network_parts(audio)
    check_names(settings.sources)
    return "tokens and certificates are there" if sources else "none is listened to"


def _sound_access(_: Settings) -> str:
    folder = Path("/dev/snd")
    cards = sorted(folder.glob("pcm*c")) if folder.is_dir() else []
    denied = [card.name for card in cards if not os.access(card, os.R_OK | os.W_OK)]
    if denied:
        raise UserError(
            f"no permission for {', '.join(denied)}",
            "sudo usermod -aG audio $USER, and log in again",
        )
    return f"{len(cards)} capture devices of ALSA may be used"


def _vad(settings: Settings) -> str:
    from edgeser.model.golden import waveform
    from edgeser.speech.vad import VoiceActivity

    sound = np.concatenate((np.zeros(16_000, np.int16), waveform(1, 1.0)))
    voiced = [frame.voiced for frame in VoiceActivity(settings.speech.vad_mode).push(sound)]
    if any(voiced[:50]) or not any(voiced[50:]):
        raise UserError("takes silence for speech or speech for silence", "reinstall edgeser")
    return f"WebRTC, mode {settings.speech.vad_mode}"


def _model(settings: Settings) -> str:
    from edgeser.pipeline import chosen_model
    from edgeser.speech.config import segmenter_config

    before = _threads()
    model = chosen_model(None, settings)
    segmenter_config(settings.speech, model.info.window)
    extra = _threads() - before
    on_cpu = model.backend.name.startswith("onnxruntime")
    if on_cpu and extra > 0:
        raise UserError(f"the backend started {extra} threads of its own", "reinstall onnxruntime")
    return (
        f"{model.info.name} {model.info.version} on {model.backend.name}"
        f"{', 1 thread' if on_cpu else ''}; golden vectors within {model.verify():.0e}"
        f"{f'; not TensorRT: {model.reason}' if model.reason else ''}"
    )


def _telemetry(_: Settings) -> str:
    with tempfile.TemporaryDirectory() as home:
        subprocess.run(
            module_command("edgeser.model.backends.onnxruntime"),
            env={**os.environ, "HOME": home, "XDG_CACHE_HOME": f"{home}/.cache"},
            check=True,
        )
        written = [str(path.relative_to(home)) for path in Path(home).rglob("*") if path.is_file()]
    if written:
        raise UserError(
            f"ONNX Runtime writes {written[0]} into the home folder",
            "set ORT_DISABLE_TELEMETRY=1 and report this to edgeser",
        )
    return "of ONNX Runtime is off: loading it leaves no file"


def _endpoints(settings: Settings) -> str:
    from edgeser.doctor.hearing import described, running_streams
    from edgeser.events.wire.keys import KeyFolder

    keys = KeyFolder(settings.events.key_folder) if settings.events.curve else None
    found, fix, wrong_pace = [], "", False
    for endpoint in settings.events.bind:
        try:
            _try_endpoint(endpoint, keys)
            found.append(f"{endpoint} is free")
        except UserError:
            streams = running_streams(endpoint).values()
            if not streams:
                raise
            states = ", ".join(map(described, streams))
            found.append(f"{endpoint} is held by a daemon that runs ({states})")
            if any(s.counters.faults for s in streams):
                found.append("'edgeser events --topic fault' lists the faults")
            wrong_pace = wrong_pace or any(s.wrong_pace for s in streams)
            if endpoint.startswith("ipc://") and any(s.muted for s in streams):
                fix = f"edgeser mute off --connect {endpoint}"
    if wrong_pace:
        raise UserError(", ".join(found), WRONG_PACE_FIX)
    if fix:
        raise AskedForError(", ".join(found), fix)
    return ", ".join(found)


def _try_endpoint(endpoint: str, keys: KeyFolder | None) -> None:
    """Check that a daemon could publish there. Raises UserError.

    A missing folder of a socket is not made: it is enough that it could be.
    """
    from edgeser.events.publish.publisher import Publisher
    from edgeser.events.wire.endpoint import IpcEndpoint, parse_endpoint, replay_endpoint
    from edgeser.events.wire.trust import check_trusted

    beside = replay_endpoint(parse_endpoint(endpoint))
    if not isinstance(beside, IpcEndpoint) or beside.path.parent.exists():
        Publisher([endpoint], keys=keys).close()
        return
    check_trusted(beside)
    try:
        _writable(beside.path.parent)
    except OSError as error:
        raise UserError(
            f"endpoint '{endpoint}': cannot make folder {beside.path.parent}: {error.strerror}",
            "set events.bind to a folder you can write to",
        ) from error


def _writable(folder: Path) -> Path:
    """The folder, or its nearest existing parent. Raises OSError if no file can be made there.

    Leaves no file behind.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    with tempfile.TemporaryFile(dir=there):
        return there


def _mqtt(settings: Settings) -> str:
    if settings.mqtt.broker is None:
        return "no bridge: mqtt.broker names none"
    from edgeser.bridges.mqtt.address import from_settings
    from edgeser.bridges.mqtt.broker import Connection

    broker = from_settings(settings.mqtt)
    Connection(broker, f"edgeser-doctor-{os.getpid()}").close()
    return f"{broker} lets us in"


def _nats(settings: Settings) -> str:
    if settings.nats.server is None:
        return "no bridge: nats.server names none"
    from edgeser.bridges.nats.client import NatsError
    from edgeser.bridges.nats.connection import Connection
    from edgeser.bridges.nats.server import from_settings
    from edgeser.bridges.nats.subjects import Device

    server = from_settings(settings.nats, "nats")
    server.check()
    try:
        Connection(server, Device(settings.nats.site, settings.nats.name).inbox).close()
    except NatsError as error:
        raise UserError(str(error), "see that it runs, and docs/fleet.md") from error
    return f"{server} lets us in"


def _scratch(_: Settings) -> str:
    from edgeser.paths import runtime_folder

    folder = runtime_folder()
    try:
        _writable(folder)
    except OSError as error:
        raise UserError(
            f"{folder}: {error.strerror}", "set XDG_RUNTIME_DIR to a folder of yours"
        ) from error
    return str(folder)


def _journal(settings: Settings) -> str:
    from edgeser.events.journal.file import ForeignFileError, size_of
    from edgeser.events.journal.reader import JournalReader

    wanted = settings.journal
    if not wanted.enabled:
        return "none is kept: journal.enabled is false"
    file = wanted.file
    try:
        folder = _writable(file.parent)
        kept = None
        if file.exists():
            regular(file).open("r+b").close()
            with JournalReader(file) as reader:
                kept = reader.extent()
        free_mb = shutil.disk_usage(folder).free / 1e6
        wanting_mb = wanted.max_mb - size_of(file) / 1e6
    except OSError as error:
        raise UserError(
            f"{file}: {error.strerror}",
            "run this as the daemon's user, or set journal.path to a file of yours",
        ) from error
    except (sqlite3.Error, ForeignFileError) as error:
        raise UserError(
            f"{file}: {error}", "move it away, or set journal.path to another file"
        ) from error
    found = f"{file}, {kept.entries if kept else 0} events, {free_mb:.0f} MB free"
    if free_mb < wanting_mb:
        raise UserError(
            f"{found}; it may grow by {wanting_mb:.0f} MB",
            "make room, or lower journal.max_mb",
        )
    return found


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


_CHECKS: dict[str, Callable[[Settings], str]] = {
    "environment": _environment,
    "microphones": _microphones,
    "sound access": _sound_access,
    "level": _level,
    "sound files": _sound_files,
    "network microphones": _network,
    "voice activity": _vad,
    "model": _model,
    "telemetry": _telemetry,
    "runtime folder": _scratch,
    "journal": _journal,
    "endpoints": _endpoints,
    "mqtt": _mqtt,
    "nats": _nats,
}
