"""``edgeser annotate --engine ray`` on a real Ray cluster of two nodes on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  Its own name. Else a busy machine hardly runs them

from ray.cluster_utils import Cluster

from tests.annotate.test_annotate import annotate, annotated, archive, parts

__all__ = ["annotated", "archive"]

PATIENCE_S = 300.0
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    yield cluster
    cluster.shutdown()


def on_ray(
    cluster: Cluster, what: Path, folder: Path, *options: str, within: Path | None = None
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgeser", "annotate", str(what), "-o", str(folder)]
    command += ["--engine", "ray", "--address", cluster.address, *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=within
    )


def test_two_nodes_of_which_one_is_killed_make_the_same_tables(
    cluster: Cluster, archive: Path, annotated: Path, tmp_path: Path
) -> None:
    node = cluster.add_node(**{k: v for k, v in NODE.items() if k != "include_dashboard"})
    cluster.wait_for_nodes()
    folder = tmp_path / "annotated"
    run = on_ray(cluster, archive, folder, "--jobs", "2", "--shard", "2")
    deadline = time.monotonic() + PATIENCE_S
    while not any(folder.glob("segments/part-*.parquet")):  # it is in the middle of it
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    cluster.remove_node(node, allow_graceful=False)
    out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, err
    assert "core-seconds per hour of sound" in out
    assert parts(folder) == parts(annotated)


def test_a_relative_folder_and_a_finished_run(
    cluster: Cluster, archive: Path, annotated: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "annotated"
    for summary in ("segments in", "0 files in"):  # the second run has nothing to do
        run = on_ray(cluster, Path(archive.name), folder, "--shard", "2", within=archive.parent)
        out, err = run.communicate(timeout=PATIENCE_S)
        assert run.returncode == 0, err
        assert summary in out
        assert parts(folder) == parts(annotated)


def test_what_cannot_be_is_refused_in_one_line(archive: Path, tmp_path: Path) -> None:
    done = annotate(archive, tmp_path / "a", "--engine", "ray")
    assert done.exit_code == 2
    assert "belong together" in done.output
    command = [sys.executable, "-m", "edgeser", "annotate", str(archive), "-o", str(tmp_path / "b")]
    command += ["--engine", "ray", "--address", "127.0.0.1:1"]
    nobody = subprocess.run(command, capture_output=True, text=True)
    assert nobody.returncode == 2
    assert "no Ray cluster there" in nobody.stderr.splitlines()[-1]
    assert "Traceback" not in nobody.stderr
