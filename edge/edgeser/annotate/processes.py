"""Runs shards in processes of this machine."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

from edgeser.annotate import tables
from edgeser.annotate.annotator import Annotated, Annotator
from edgeser.annotate.plan import Shard
from edgeser.errors import UserError
from edgeser.settings.schema import Settings


class Done(NamedTuple):
    """What a finished shard held and cost."""

    files: int
    segments: int
    errors: int
    sound_s: float
    core_s: float


def run(todo: Sequence[Shard], settings: Settings, folder: Path, jobs: int) -> Iterator[Done]:
    """Run the shards in ``jobs`` processes; yields each as it is finished.

    Raises UserError if a process dies or the disk is full, ArchiveError if the archive is not
    reachable; what is finished stays.
    """
    if jobs == 1:
        annotator = Annotator(settings)
        for shard in todo:
            yield written(folder, shard, annotator(shard))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin, (settings, folder)) as pool:
        futures = [pool.submit(_work, shard) for shard in todo]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise UserError(
                "a process died, perhaps for lack of memory",
                "run the same command again, with fewer --jobs; finished shards are kept",
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def written(folder: Path, shard: Shard, annotated: Annotated) -> Done:
    """Write the rows of a shard, which finishes it. Raises UserError if the disk is full."""
    tables.write(folder, shard, annotated)
    segments, errors = annotated.segments.num_rows, annotated.errors.num_rows
    return Done(len(shard.paths), segments, errors, annotated.sound_s, annotated.core_s)


class _Worker(NamedTuple):
    annotator: Annotator
    folder: Path


_worker: _Worker | None = None


def _begin(settings: Settings, folder: Path) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    _worker = _Worker(Annotator(settings), folder)


def _work(shard: Shard) -> Done:
    assert _worker is not None
    return written(_worker.folder, shard, _worker.annotator(shard))
