"""``edgeser annotate``: an archive of recordings in, Parquet tables of their segments out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.options import (
    PATH,
    PATH_TEXT,
    backend_option,
    given,
    json_option,
    model_option,
    settings_option,
)
from edgeser.errors import UserError

if TYPE_CHECKING:
    from typing import TypeAlias

    from edgeser.annotate.plan import Plan, Shard
    from edgeser.annotate.processes import Done
    from edgeser.settings.schema import Settings

    Run: TypeAlias = Callable[[Sequence[Shard], Settings, Path, int], Iterator[Done]]

LINE_INTERVAL_S = 10.0


@click.command(
    epilog="""Examples:

    \b
    edgeser annotate calls/ -o annotated
    edgeser annotate 'calls/**/*.flac' -o annotated --jobs 8
    edgeser annotate calls/ -o annotated --voices folder
    edgeser annotate list.csv -o annotated --voices speaker
    edgeser annotate list.csv -o annotated --part 2/4
    edgeser annotate /data/calls -o annotated --engine ray --address head:6379
    """
)
@click.argument("what", type=PATH_TEXT, metavar="FOLDER|LIST|PATTERN")
@click.option(
    "-o",
    "--output",
    "folder",
    required=True,
    type=PATH,
    metavar="FOLDER",
    help="Folder of the tables.",
)
@settings_option
@model_option
@backend_option
@click.option(
    "--voices",
    metavar="folder|COLUMN",
    help="Whose voice is in a recording: that of its folder, or of a column of the list. It is "
    "judged relative to how that voice sounds in its other recordings.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes.  [default: one per core]",
)
@click.option(
    "--engine",
    type=click.Choice(["processes", "ray"]),
    default="processes",
    show_default=True,
    help="On this machine, or on a Ray cluster (extra: cluster).",
)
@click.option("--address", metavar="HOST:PORT|auto", help="The Ray cluster's head.")
@click.option(
    "--shard",
    "size",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="FILES",
    help="Files per part of the tables.",
)
@click.option("--part", metavar="I/N", help="Only every N-th shard, from the I-th: for N machines.")
@json_option
def annotate(
    what: str,
    folder: Path,
    settings_file: Path | None,
    model: str | None,
    backend: str | None,
    voices: str | None,
    jobs: int | None,
    engine: str,
    address: str | None,
    size: int,
    part: str | None,
    as_json: bool,
) -> None:
    """Recognise every recording of an archive, segmented as by `edgeser run`.

    The same command, run again, continues where it was killed. A file that cannot be read, or was
    deleted meanwhile, becomes a row of the table `errors`; the exit code is still 0. It is 1 if the
    whole archive disappeared: the same command does the rest when it is back.
    """
    from edgeser.annotate.files import find
    from edgeser.annotate.lock import only_one
    from edgeser.annotate.plan import Plan, files_sha256, settle, shards
    from edgeser.pipeline import chosen_model, learner
    from edgeser.settings.load import load_settings

    try:
        from edgeser.annotate import tables
    except ImportError as error:
        raise UserError("pyarrow is not installed", "pip install 'edgeser[annotate]'") from error

    if (engine == "ray") != (address is not None):
        raise UserError("--engine ray and --address belong together", "give both, or neither")
    settings = load_settings(settings_file, flags=given(model__name=model, model__backend=backend))
    recordings = find(what, voices)
    first, every = _part(part)
    loaded = chosen_model(None, settings)
    if voices is not None:
        learner(loaded)
    plan = Plan(
        files=len(recordings.paths),
        files_sha256=files_sha256(recordings),
        shard=size,
        model=loaded.ref,
        backend=loaded.backend.name,
        speech=settings.speech,
        decision=settings.decision,
        voices=voices,
        labels=settings.model.labels,
        learn=settings.baseline.learn,
    )
    del loaded
    settle(plan, folder)
    mine = shards(recordings, size)[first - 1 :: every]
    with only_one(folder, f"{first}-of-{every}"):
        todo = [shard for shard in mine if not tables.is_finished(folder, shard)]
        before = sum(len(shard.paths) for shard in mine) - sum(len(s.paths) for s in todo)
        progress = _Progress(sum(len(shard.paths) for shard in todo), before)
        try:
            with _engine(address, plan) as (run, cores):
                jobs = min(jobs or cores, max(1, len(todo)))
                for done in run(todo, settings, folder, jobs):
                    progress.add(done)
        except KeyboardInterrupt:
            click.echo("edgeser: stopped; the same command continues from here", err=True)
            raise SystemExit(130) from None
        finally:
            progress.close()
    click.echo(progress.json() if as_json else progress.summary(folder, jobs))


@contextmanager
def _engine(address: str | None, plan: Plan) -> Iterator[tuple[Run, int]]:
    """What runs the shards, and its number of cores: this machine, or a Ray cluster."""
    if address is None:
        from edgeser.annotate.processes import run

        yield run, len(os.sched_getaffinity(0))
        return
    from edgeser.annotate.cluster import Cluster

    cluster = Cluster(address, plan)
    try:
        yield cluster.run, cluster.cores
    finally:
        cluster.close()


def _part(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1, 1
    first, _, every = text.partition("/")
    if first.isdecimal() and every.isdecimal() and 1 <= int(first) <= int(every):
        return int(first), int(every)
    raise UserError(f"--part {text!r}: expected I/N with I from 1 to N, e.g. 2/4")


class _Progress:
    """Progress of this run: a bar on a terminal, lines elsewhere."""

    def __init__(self, files: int, before: int) -> None:
        self._total = files
        self._before = before
        self._began = self._said = time.monotonic()
        self.files = self.segments = self.errors = 0
        self.sound_s = self.core_s = 0.0
        if sys.stderr.isatty():
            self._bar = click.progressbar(length=files, label="files", file=sys.stderr)
            self._bar.__enter__()

    def add(self, done: Done) -> None:
        self.files += done.files
        self.segments += done.segments
        self.errors += done.errors
        self.sound_s += done.sound_s
        self.core_s += done.core_s
        now = time.monotonic()
        if sys.stderr.isatty():
            self._bar.label = f"{self._rate():.1f} files/s"
            self._bar.update(done.files)
        elif now - self._said >= LINE_INTERVAL_S:
            self._said = now
            left_s = (self._total - self.files) / self._rate()
            line = (
                f"{self.files} of {self._total} files, {self._rate():.1f}/s, {_time(left_s)} left"
            )
            click.echo(line, err=True)

    def close(self) -> None:
        if sys.stderr.isatty():
            self._bar.__exit__(None, None, None)

    def summary(self, folder: Path, jobs: int) -> str:
        """The summary for people, with the cost."""
        from edgeser.annotate.tables import rows

        def in_all(table: str) -> str:
            return f", {rows(folder / table)} in all" if self._before else ""

        lines = [
            f"{self.files} files in {_time(time.monotonic() - self._began)}, {jobs} at once"
            + (f"; {self._before} were finished before" if self._before else ""),
            f"{self.segments} segments in {folder / 'segments'}{in_all('segments')}",
            f"{self.errors} failures in {folder / 'errors'}{in_all('errors')}",
        ]
        if self.sound_s:
            hours = self.sound_s / 3600
            cost = self.core_s / hours
            lines.append(
                f"{hours:.2f} h of sound; {cost:.0f} core-seconds per hour of sound, "
                f"{3600 / max(cost, 1e-9):.0f} times real time per core"
            )
        return "\n".join(lines)

    def json(self) -> str:
        """The same for programs."""
        import msgspec

        hours = self.sound_s / 3600
        figures = {
            "files": self.files,
            "finished_before": self._before,
            "segments": self.segments,
            "failures": self.errors,
            "sound_hours": hours,
            "core_s": self.core_s,
            "core_s_per_hour": self.core_s / hours if hours else None,
            "seconds": time.monotonic() - self._began,
        }
        return msgspec.json.encode(figures).decode()

    def _rate(self) -> float:
        return self.files / max(1e-9, time.monotonic() - self._began)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
