"""``edgeser bench rejects``: what passes that is no speech, and what speech is lost."""

from __future__ import annotations

import time
from pathlib import Path

import click

from edgeser.cli.bench.options import report_option, this_command
from edgeser.cli.bench.outcome import as_json, conclude, printer
from edgeser.cli.options import PATH, given, model_option, settings_option
from edgeser.errors import UserError
from edgeser.paths import as_utf8


@click.command()
@click.argument("folder", type=PATH, metavar="FOLDER")
@click.option(
    "--speech",
    "speech_folders",
    type=PATH,
    multiple=True,
    metavar="FOLDER",
    help="Utterances that must be kept (repeatable).",
)
@click.option(
    "--files",
    default=50,
    show_default=True,
    metavar="N",
    help="Utterances drawn from each folder, at most.",
)
@click.option(
    "--sounds",
    default=1000,
    show_default=True,
    metavar="N",
    help="Sounds drawn from each class, at most.",
)
@click.option(
    "--clean-only", is_flag=True, help="Only utterances without noise: ten times as fast."
)
@click.option(
    "--seed",
    default=1,
    show_default=True,
    metavar="N",
    help="Seed of the drawing, and of the noise.",
)
@click.option(
    "--sounds-named",
    default="",
    metavar="REGEX",
    help="Only sounds whose name matches, e.g. to choose a threshold on one half and report on "
    "the other.",
)
@click.option(
    "--files-named", default="", metavar="REGEX", help="Only utterances whose name matches."
)
@settings_option
@model_option
@report_option
def rejects(
    folder: Path,
    speech_folders: tuple[Path, ...],
    files: int,
    sounds: int,
    clean_only: bool,
    seed: int,
    sounds_named: str,
    files_named: str,
    settings_file: Path | None,
    model: str | None,
    json_file: Path | None,
) -> None:
    """Which noise passes as speech, and which speech is lost?

    FOLDER holds sounds without speech, in a folder for each class. They go through the daemon's
    speech detection one after the other. The finals are counted, with the model's labels and the
    median of their confidence; "unconfirmed" are the finals without confirmation, "named" those of
    them that the model does not label unknown. The utterances go through it clean, in pink noise,
    in babble and in the sounds of FOLDER, with confirmation and without.

    It takes about half a second of CPU time for each sound, and a second for each utterance.

    \b
    Example: edgeser bench rejects ESC-10 --speech emodb --files 50
    """
    for option, value, least in (("files", files, 1), ("sounds", sounds, 1), ("seed", seed, 0)):
        if value < least:
            raise UserError(f"--{option}: it is {value}", f"give {least} at least")

    from edgeser.bench.ears import Ears
    from edgeser.bench.folder import drawn, noise_classes, sounds_in, with_name
    from edgeser.bench.machine import busy_with_others, cpu_times, this_machine
    from edgeser.bench.rejects import Cost, HeardBy, Kept, RejectsReport, kept, rejected
    from edgeser.bench.report import now
    from edgeser.model.model import load_model
    from edgeser.settings.load import load_settings

    classes = {
        name: drawn(with_name(found, sounds_named), sounds, seed)
        for name, found in noise_classes(folder).items()
    }
    if not any(classes.values()):
        raise UserError(
            f"{folder}: no sound's name has {sounds_named!r} in it", "give another --sounds-named"
        )
    utterances = {
        as_utf8(str(path)): drawn(with_name(sounds_in(path), files_named), files, seed)
        for path in speech_folders
    }
    for name, found in utterances.items():
        if not found:
            raise UserError(
                f"{name}: no utterance's name has {files_named!r} in it",
                "give another --files-named",
            )
    settings = load_settings(settings_file, flags=given(model__name=model))
    ears = Ears(load_model(settings.model.name, settings.model.backend), settings)

    before, begun_s = cpu_times(), time.process_time()
    say = printer(json_file)
    say(f"{'class':<22} minutes  finals  an hour  speech s  rejected  unconfirmed  named  said")
    noise = []
    for name, found in classes.items():
        if not found:
            continue
        row = rejected(ears, name, found)
        noise.append(row)
        say(
            f"{name:<22} {row.seconds / 60:>7.1f} {row.finals:>7} {row.finals_per_hour:>8.1f} "
            f"{row.speech_s:>9.1f} {row.rejected:>9} {row.plain_finals:>12} {row.plain_named:>6}"
            f"{_said(row.said, row.confidence)}"
        )
    hours = sum(row.seconds for row in noise) / 3600
    total, plain, named = (
        sum(counts)
        for counts in zip(
            *((row.finals, row.plain_finals, row.plain_named) for row in noise), strict=True
        )
    )
    say(
        f"{total / hours:.1f} finals an hour; without confirmation {plain / hours:.0f}, "
        f"{named / hours:.0f} of them not unknown"
    )

    def tell(row: Kept) -> None:
        share, bare = row.kept / max(1, row.utterances), row.plain_kept / max(1, row.utterances)
        start, end = (
            " ".join(f"{seconds:+.2f}" for seconds in spread) for spread in (row.start_s, row.end_s)
        )
        say(f"{row.condition:<20} {share:>7.1%} {bare:>12.1%}   {start}   {end}")

    speech: dict[str, list[Kept]] = {}
    cost: dict[str, Cost] = {}
    noises = None if clean_only else [clip for found in classes.values() for clip in found]
    for name, found in utterances.items():
        say(
            f"\n{name}, {len(found)} files   kept  unconfirmed   start s: 5 %, median, 95 %   end s"
        )
        speech[name], cost[name] = kept(ears, found, noises, seed, tell)
        say(
            f"confirmation takes {cost[name].core_percent:.2f} % of a core while somebody speaks "
            f"({cost[name].ratio:.2f} times the hearing without it)"
        )
    report = RejectsReport(
        command=this_command(),
        date=now(),
        machine=this_machine(),
        warning=busy_with_others(before, cpu_times(), time.process_time() - begun_s),
        model=ears.model.ref,
        backend=ears.model.backend.name,
        settings=HeardBy(settings.speech, settings.decision, settings.model),
        folder=as_utf8(str(folder)),
        seed=seed,
        noise=noise,
        speech=speech,
        cost=cost,
    )

    def show() -> None:
        if report.warning and cost:
            click.echo(f"{report.warning}: treat the cost of confirmation with caution")

    conclude(as_json(json_file, report), show)


def _said(labels: dict[str, int], confidence: float | None) -> str:
    """The labels, their counts and the median confidence; empty if there are none."""
    if confidence is None:
        return ""
    return f"  {', '.join(f'{label} {n}' for label, n in labels.items())}; {confidence:.2f}"
