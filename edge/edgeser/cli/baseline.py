"""``edgeser baseline``: how the voices that streams hear usually sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.group import Group
from edgeser.cli.options import PATH, given, json_option, model_option, settings_option
from edgeser.errors import UserError

if TYPE_CHECKING:
    from edgeser.audio.source import Source
    from edgeser.baselines.store import BaselineStore
    from edgeser.model.model import Model
    from edgeser.pipeline import Heard, Pipeline
    from edgeser.settings.schema import AudioSettings, Settings
    from edgeser.voice import Voice

SENTENCES = 3
"""Enough to know a voice well (docs/models.md)."""


@click.group(cls=Group)
def baseline() -> None:
    """Show, reset or enrol the baselines: how the voice on each stream usually sounds.

    A model that learns voices judges speech relative to how the voice on its stream usually sounds.
    It learns that by listening. A baseline holds a mean spectrum, the mean of the model's outputs
    and the amount of speech behind them, never sound.

    Example: edgeser baseline enrol
    """


@baseline.command()
@settings_option
@json_option
def show(settings_file: Path | None, as_json: bool) -> None:
    """Show the streams with a baseline, and the amount of speech in it.

    The newest comes first; each model has its own.

    Example: edgeser baseline show --json
    """
    import time

    import msgspec

    store = _store(_settings(settings_file))
    rows = [
        (name, one)
        for name in _streams(store)
        if (kept := store.read(name)) is not None
        for one in (kept, *kept.others)
    ]
    if as_json:
        facts = [
            {
                "stream": name,
                "front_end": kept.front_end,
                "speech_s": kept.speech_s,
                "enrolled": kept.enrolled,
                "kept_at": kept.kept_at,
            }
            for name, kept in rows
        ]
        click.echo(msgspec.json.encode(facts).decode())
        return
    if not rows:
        click.echo(_none_known(store, settings_file))
    for row, (name, kept) in enumerate(rows):
        other = ", for another model" if row and rows[row - 1][0] == name else ""
        how = "enrolled" if kept.enrolled else "learned"
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(kept.kept_at))
        click.echo(f"{name}: {kept.speech_s:.1f} s of speech, {how}, {when}{other}")


@baseline.command()
@settings_option
@click.option("--stream", metavar="NAME", help="Only this stream's.")
def reset(settings_file: Path | None, stream: str | None) -> None:
    """Delete the baselines of all streams, or of one. A running daemon forgets them within a
    second.

    \b
    Examples: edgeser baseline reset --stream kitchen
              sudo edgeser baseline reset --settings /etc/edgeser/edgeser.toml
    """
    store = _store(_settings(settings_file))
    names = _streams(store) if stream is None else [stream]
    for name in names:
        try:
            forgotten = store.remove(name)
        except OSError as error:
            raise _trouble(store.file(name), error) from error
        if not forgotten:
            raise UserError(
                f"no voice of stream '{name}' is known in {store.folder}",
                "'edgeser baseline show' lists them",
            )
        click.echo(f"{name}: forgotten")
    if not names:
        click.echo(_none_known(store, settings_file))


@baseline.command()
@click.argument("files", nargs=-1, type=PATH, metavar="[FILE]...")
@settings_option
@model_option
@click.option("--stream", metavar="NAME", help="Stream of the voice.  [default: the only one]")
def enrol(
    files: tuple[Path, ...], settings_file: Path | None, model: str | None, stream: str | None
) -> None:
    """Enrol a voice: three calm sentences, spoken or in sound files.

    Speak as usual, where you usually speak. A running daemon adopts the baseline within a second.

    \b
    Examples: edgeser baseline enrol
              edgeser baseline enrol --stream kitchen calm1.wav calm2.wav calm3.wav
    """
    settings = _settings(settings_file, model)
    name, audio = _microphone(settings, stream)
    if audio.is_network and not files:
        raise UserError(
            f"stream '{name}': only the daemon hears a network microphone", "name sound files"
        )
    model_ = _learner(settings)
    front_end = model_.info.front_end
    pipeline = _pipeline(name, model_, settings)
    heard = _from_files(pipeline, files) if files else _from_microphone(pipeline, audio)
    if not heard:
        raise UserError("no speech was heard", "speak louder or nearer, or see 'edgeser doctor'")
    store, voice = _store(settings), pipeline.voice
    try:
        store.save(name, front_end, voice.spectrum, voice.usual, enrolled=True)
    except OSError as error:
        raise _trouble(store.folder, error) from error
    speech_s = voice.spectrum.frames * front_end.hop / front_end.sample_rate
    click.echo(
        f"{name}: {heard} sentences, {speech_s:.1f} s; a window is judged against "
        f"this voice by {_weight(model_, voice):.0%}, and for the rest by itself."
    )
    if heard < SENTENCES:
        click.echo(f"{SENTENCES} sentences work better.")
    if service := _service_beside(settings_file):
        click.echo(f"Only your own daemon uses it; for the service, --settings {service}")


def _settings(file: Path | None, model: str | None = None) -> Settings:
    from edgeser.settings.load import load_daemon_settings

    return load_daemon_settings(file, flags=given(model__name=model))


def _store(settings: Settings) -> BaselineStore:
    from edgeser.baselines.store import BaselineStore

    return BaselineStore(settings.baseline.store)


def _trouble(path: Path, error: OSError) -> UserError:
    may_not = isinstance(error, PermissionError)
    return UserError(f"baseline {path}: {error.strerror}", "try sudo" if may_not else None)


def _streams(store: BaselineStore) -> list[str]:
    try:
        return list(store.streams())
    except OSError as error:
        raise _trouble(store.folder, error) from error


def _none_known(store: BaselineStore, settings_file: Path | None) -> str:
    none = f"no voice is known in {store.folder}"
    service = _service_beside(settings_file)
    return f"{none}; for those of the service, --settings {service}" if service else none


def _service_beside(settings_file: Path | None) -> Path | None:
    """The settings of the installed service, unless others were named."""
    from edgeser.paths import SERVICE_SETTINGS

    return SERVICE_SETTINGS if settings_file is None and SERVICE_SETTINGS.exists() else None


def _microphone(settings: Settings, stream: str | None) -> tuple[str, AudioSettings]:
    """The stream of that name, or the only one, with its source.

    Raises UserError if there is none, or more than one, or if no baseline is kept for it.
    """
    from edgeser.audio.open import stream_names

    sources = {name: audio for audio in settings.sources for name in stream_names(audio)}
    heard = [name for name, audio in sources.items() if audio.source == "mic" or audio.is_network]
    there_is = f"there is {', '.join(heard or sources)}"
    if stream is None:
        if len(heard) > 1:
            raise UserError("--stream: more than one stream has a baseline", there_is)
        stream = next(iter(heard or sources))
    if stream not in sources:
        raise UserError(
            f"--stream {stream}: the settings have no such source",
            f"{there_is}; name the daemon's settings with --settings",
        )
    if stream not in heard:
        raise UserError(
            f"stream '{stream}': no baseline is kept for sound files and standard input",
            "enrol for a microphone's stream",
        )
    return stream, sources[stream]


def _learner(settings: Settings) -> Model:
    """The model of the settings. Raises UserError for one that learns no voices."""
    from edgeser.pipeline import chosen_model, learner

    return learner(chosen_model(None, settings))


def _weight(model: Model, voice: Voice) -> float:
    """Weight of what was learned: of the mean spectrum, or else of the mean logits."""
    info = model.info
    if info.front_end.learns_voices or info.centring is None:
        return voice.spectrum.weight(info.front_end.own_frames)
    return 0.0 if voice.logits is None else voice.logits.weight(info.centring.own_frames)


def _pipeline(stream: str, model: Model, settings: Settings) -> Pipeline:
    """A pipeline that learns voices even if the settings turn that off."""
    from edgeser.pipeline import Pipeline, learning

    return Pipeline(stream, model, learning(settings))


def _from_files(pipeline: Pipeline, files: tuple[Path, ...]) -> int:
    from edgeser.audio.file import FileSource
    from edgeser.audio.source import AudioBlock

    heard = 0
    for file in files:
        for item in FileSource(file, fast=True).blocks():
            if isinstance(item, AudioBlock):
                here = AudioBlock(item.samples, pipeline.position, item.captured_at)
                heard += _finals(pipeline.push(here))
        heard += _finals(pipeline.finish())
    return heard


def _from_microphone(pipeline: Pipeline, audio: AudioSettings) -> int:
    from edgeser.audio.open import open_sources

    (source,) = open_sources([audio]).values()
    click.echo(f"Say {SENTENCES} sentences as usual, with a pause after each.")
    heard = 0
    try:
        for finals in _spoken(pipeline, source):
            heard += finals
            if finals:
                click.echo(f"{heard} of {SENTENCES} heard")
            if heard >= SENTENCES:
                break
    finally:
        source.close()
    return heard


def _spoken(pipeline: Pipeline, source: Source) -> Iterator[int]:
    """How many sentences ended with each block. Raises UserError when the sound is lost."""
    from edgeser.audio.source import AudioBlock

    for item in source.blocks():
        if isinstance(item, AudioBlock):
            yield _finals(pipeline.push(item))
        elif not item.recovered:
            raise UserError(item.message)
    yield _finals(pipeline.finish())


def _finals(events: Sequence[Heard]) -> int:
    from edgeser.events.schema import EmotionEvent

    return sum(isinstance(event, EmotionEvent) and event.kind == "final" for event in events)
