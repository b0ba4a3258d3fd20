"""Runs shards on actors of a Ray cluster, each with a model of its own; this process writes.

Every node has edgeser installed and sees the recordings under the same path. An actor gets a shard
when it has finished the one before, so that nothing piles up. A shard whose actor or node dies, or
does not see the recordings, goes to another; what is written is never done again.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it sends statistics to its makers

from edgeser.annotate.annotator import Annotator
from edgeser.annotate.archive import ArchiveError
from edgeser.annotate.plan import Plan, Shard
from edgeser.annotate.processes import Done, written
from edgeser.errors import UserError
from edgeser.host_port import split_host_port
from edgeser.settings.schema import Settings

try:
    import ray
    from ray.exceptions import RayActorError, RayError, RayTaskError
except ImportError as error:
    raise UserError("ray is not installed", "pip install 'edgeser[cluster]'") from error

log = logging.getLogger(__name__)

MAX_DEATHS = 3
"""Deaths of actors on one shard, or at start, after which the run ends."""

GPUS_AN_ACTOR = 0.25
"""With TensorRT four actors share a GPU."""


class Cluster:
    """A connection to an existing Ray cluster."""

    def __init__(self, address: str, plan: Plan) -> None:
        """``address``: ``HOST:PORT`` of its head, or ``auto``. Raises UserError.

        ``plan``: every actor must have its model.
        """
        self._plan = plan
        try:
            _knock(address)
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
        except (RayError, OSError, ValueError, RuntimeError, AssertionError) as error:
            raise UserError(
                f"--address {address}: no Ray cluster there ({' '.join(str(error).split())[:200]})",
                "start one with 'ray start --head', and name its HOST:PORT",
            ) from error

    @property
    def cores(self) -> int:
        """Total cores of its nodes."""
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        return max(1, int(resources.get("CPU", 1)))

    def run(
        self, todo: Sequence[Shard], settings: Settings, folder: Path, jobs: int
    ) -> Iterator[Done]:
        """Run the shards on ``jobs`` actors; yields each as it is written.

        An actor that does not see the recordings is dropped. Raises ArchiveError when none is left,
        UserError if one has another model, actors die repeatedly, or the disk is full; what is
        finished stays.
        """
        waiting = deque(shard._replace(root=str(Path(shard.root).absolute())) for shard in todo)
        deaths: Counter[int] = Counter()
        working: dict[Any, tuple[Any, Shard | None]] = {}
        spare: list[Any] = []  # an idle actor, kept in case another fails
        away: set[str] = set()
        gpus = GPUS_AN_ACTOR if settings.model.backend == "tensorrt" else 0
        make: Any = ray.remote(Annotator).options(num_cpus=1, num_gpus=gpus, max_restarts=0)

        def begin() -> None:
            actor = make.remote(settings)
            working[actor.check.remote(self._plan)] = (actor, None)

        def give(actor: Any, shard: Shard) -> None:
            working[actor.__call__.remote(shard)] = (actor, shard)

        def give_back(shard: Shard) -> None:
            if spare:
                give(spare.pop(), shard)
            else:
                waiting.appendleft(shard)

        try:
            for _ in range(jobs):
                begin()
            while waiting or any(shard for _, shard in working.values()):
                (finished,), _ = ray.wait(list(working), num_returns=1)
                actor, shard = working.pop(finished)
                try:
                    annotated = ray.get(finished)
                except RayTaskError as error:
                    is_last = not working and not spare
                    if shard is None or is_last or not isinstance(error.cause, ArchiveError):
                        raise _defect(error) from error
                    give_back(shard)
                    ray.kill(actor)
                    if error.cause.what not in away:  # log once per node
                        away.add(error.cause.what)
                        log.warning("%s; others do its share", error.cause)
                    continue
                except RayActorError as error:
                    deaths[-1 if shard is None else shard.number] += 1
                    if max(deaths.values()) >= MAX_DEATHS:
                        raise _hopeless(error, shard) from error
                    if shard is not None:
                        give_back(shard)
                    if waiting:
                        begin()  # Ray waits while no node has room
                    continue
                if shard is None:
                    deaths[-1] = 0
                else:
                    yield written(folder, shard, annotated)
                if waiting:
                    give(actor, waiting.popleft())
                elif spare or shard is None:
                    ray.kill(actor)
                else:
                    spare.append(actor)
        finally:
            for actor in (*spare, *(actor for actor, _ in working.values())):
                ray.kill(actor)

    def close(self) -> None:
        """Disconnect; the cluster keeps running."""
        ray.shutdown()


def _knock(address: str) -> None:
    """Check that something listens there; Ray would try for minutes. Raises OSError, ValueError."""
    if address == "auto":
        return
    found = split_host_port(address)
    if found is None:
        raise ValueError("expected HOST:PORT or auto")
    socket.create_connection(found, 10).close()


def _defect(error: RayTaskError) -> Exception:
    """What went wrong on a node: an error that the user can fix, or a bug."""
    cause = error.cause
    return cause if isinstance(cause, UserError) else error


def _hopeless(error: RayActorError, shard: Shard | None) -> UserError:
    why = " ".join(str(error).split())[-300:]
    if shard is None:
        return UserError(
            f"actors die when they begin: {why}",
            "see that every node has this edgeser with its extra 'cluster', and the model",
        )
    return UserError(
        f"{MAX_DEATHS} actors died over part {shard.number}, {shard.paths[0]} and on: {why}",
        "see whether the nodes lack memory; the same command continues from here",
    )
