"""``edgeser annotate --engine ray`` on a real Ray cluster of two nodes on this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  Its own name. Else a busy machine hardly runs them

from ray.cluster_utils import Cluster

from edgeser.model.artefact import shipped_models
from tests.annotate.test_annotate import annotate, annotated, archive, parts

__all__ = ["annotated", "archive"]

PATIENCE_S = 300.0
HERE = Path("/proc/self/cwd")
"""One path, which is another folder to each process."""

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``HERE`` is to the first node."""
    return tmp_path_factory.mktemp("there")


@pytest.fixture(scope="module")
def cluster(there: Path) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(there)
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
        assert run.poll() in (None, 0), run.communicate()
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


@pytest.fixture
def elsewhere(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What ``HERE`` is to a second node."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        node = cluster.add_node(**{k: v for k, v in NODE.items() if k != "include_dashboard"})
    cluster.wait_for_nodes()
    yield folder
    cluster.remove_node(node, allow_graceful=False)


def test_a_node_that_does_not_see_the_archive_is_left_out(
    cluster: Cluster, elsewhere: Path, archive: Path, annotated: Path, tmp_path: Path
) -> None:
    """Where no node sees it, nothing is written, and the same command does it later."""
    (driver := tmp_path / "driver").mkdir()
    shutil.copytree(archive, driver / "calls")
    folder, options = tmp_path / "annotated", ("--jobs", "2", "--shard", "2")
    run = on_ray(cluster, HERE / "calls", folder, *options, within=driver)
    _, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1
    assert err.splitlines()[-1].startswith(f"edgeser: {socket.gethostname()} does not see the rec")
    assert "Traceback" not in err
    assert parts(folder) == {}
    shutil.copytree(archive, elsewhere / "calls")
    run = on_ray(cluster, HERE / "calls", folder, *options, within=driver)
    _, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, err
    assert parts(folder) == parts(annotated)


def test_a_node_with_another_model_is_refused(
    cluster: Cluster, there: Path, archive: Path, tmp_path: Path
) -> None:
    ours, theirs = (shipped_models()[name] for name in ("lightweight-emodb", "eca-emodb"))
    (driver := tmp_path / "driver").mkdir()
    shutil.copy(ours, driver / "model.onnx")
    shutil.copy(theirs, there / "model.onnx")
    model = ("--model", str(HERE / "model.onnx"))
    run = on_ray(cluster, archive, tmp_path / "out", *model, within=driver)
    _, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 2
    hashes = [hashlib.sha256(model.read_bytes()).hexdigest()[:12] for model in (theirs, ours)]
    told = f"edgeser: {socket.gethostname()}: its model is {hashes[0]} by "
    assert told in err
    assert f"that of the tables {hashes[1]} by " in err
    assert "Traceback" not in err


def test_impossible_options_are_refused_in_one_line(archive: Path, tmp_path: Path) -> None:
    done = annotate(archive, tmp_path / "a", "--engine", "ray")
    assert done.exit_code == 2
    assert "belong together" in done.output
    command = [sys.executable, "-m", "edgeser", "annotate", str(archive), "-o", str(tmp_path / "b")]
    command += ["--engine", "ray", "--address", "127.0.0.1:1"]
    nobody = subprocess.run(command, capture_output=True, text=True)
    assert nobody.returncode == 2
    assert "no Ray cluster there" in nobody.stderr.splitlines()[-1]
    assert "Traceback" not in nobody.stderr
