"""What can go wrong in a training: each is one line, and nothing is left half-written."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from edgeser.cli import main
from edgeser.errors import UserError, shortage
from edgeser_train.commands.options import report_failures
from edgeser_train.evaluation import folds
from edgeser_train.files import whole_folder
from edgeser_train.sound import conditions
from edgeser_train.workers import Workers
from tests.patience import until
from tests.train.synthetic import make_manifest, tiny_settings

Evaluate = Callable[..., Result]
Mount = Callable[..., Path]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_manifest(tmp_path_factory.mktemp("manifest"))


@pytest.fixture
def evaluate(manifest: Path, tmp_path: Path) -> Evaluate:
    """Train and score one fold in ``run``, with a ``cache`` beside it."""

    def run(
        *words: object, cache: Path = tmp_path / "cache", run: Path = tmp_path / "run"
    ) -> Result:
        where = ("--corpus", f"manifest={manifest}", "--cache", cache, "-o", run, "--folds", "a")
        command = ("evaluate", *where, *tiny_settings(), "--set", "batch=4", *words)
        return CliRunner().invoke(main, [str(word) for word in command])

    return run


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """A small file system of its own."""
    mounted: list[Path] = []

    def small(name: str, options: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            done = subprocess.run(words, capture_output=True, text=True)
        except OSError as error:
            pytest.skip(f"no small file system: {error}")
        if done.returncode:
            pytest.skip(f"no small file system (needs root): {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield small
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def assert_told(done: Result, *parts: str) -> None:
    assert done.exit_code == 2, done.output
    last = done.output.splitlines()[-1]
    assert last.startswith("edgeser: ")
    for part in parts:
        assert part in last


def test_a_full_cache_keeps_nothing(evaluate: Evaluate, mount: Mount, tmp_path: Path) -> None:
    cache = mount("full", "size=100k")
    assert_told(evaluate(cache=cache), str(cache), "cannot be written")
    assert not list(cache.iterdir())
    cache = mount("fuller", "size=400k")
    assert_told(evaluate(cache=cache), str(cache), "cannot be written")
    assert [path.name[:7] for path in cache.iterdir()] == ["sounds-"]
    assert not (tmp_path / "run").exists()


def test_what_a_killed_process_left_in_the_cache_goes(evaluate: Evaluate, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert evaluate().exit_code == 0
    names = sorted(path.name for path in cache.iterdir())
    for name in names:
        shutil.rmtree(cache / name)
        code = f"""
import os, signal
from pathlib import Path
from edgeser_train.files import whole_folder
with whole_folder(Path({str(cache / name)!r})) as aside:
    (aside / "rows").write_bytes(bytes(1000))
    os.kill(os.getpid(), signal.SIGKILL)
"""
        assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert len(list(cache.glob(".*/rows"))) == len(names) == 2
    assert evaluate(run=tmp_path / "other").exit_code == 0
    assert sorted(path.name for path in cache.iterdir()) == names


def test_two_that_make_one_folder_leave_one_whole_folder(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "one"
    with whole_folder(folder) as ours:
        (ours / "ours").touch()
        with whole_folder(folder) as theirs:
            (theirs / "theirs").touch()
        assert (ours / "ours").exists(), "ours is still being made"
    assert [path.name for path in folder.iterdir()] == ["theirs"]
    assert list(folder.parent.iterdir()) == [folder]


def test_a_full_run_folder_keeps_nothing(evaluate: Evaluate, mount: Mount) -> None:
    run = mount("full", "size=40k")
    assert_told(evaluate(run=run), "latest.ckpt: cannot be written", "No space left")
    assert [path.name for path in run.iterdir()] == ["logs"]


def test_full_logs_are_named(evaluate: Evaluate, mount: Mount, tmp_path: Path) -> None:
    logs = mount("run/logs", "size=8k")
    (logs / "other").write_bytes(bytes(4096))
    assert_told(evaluate(), "training: ", "No space left")


def test_a_folder_that_cannot_be_written_is_named(evaluate: Evaluate, mount: Mount) -> None:
    run = mount("fixed", "size=40k,ro")
    assert_told(evaluate(run=run), str(run), "cannot be written", "Read-only")
    file = run.parent / "file"
    file.write_text("in the way")
    assert_told(evaluate(run=file), str(file), "cannot be written: Not a directory")
    assert_told(evaluate(cache=file), str(file), "cannot be written: Not a directory")
    assert_told(evaluate(run=file / "run"), str(file), "cannot be written")


def test_a_damaged_cache_is_named(evaluate: Evaluate, tmp_path: Path) -> None:
    assert evaluate().exit_code == 0
    cache = tmp_path / "cache"
    for path in cache.glob("*/*"):
        whole = path.read_bytes()
        for content in (whole[: len(whole) // 2], b"", None):
            path.unlink()
            if content is not None:
                path.write_bytes(content)
            done = evaluate(run=tmp_path / "other")
            assert_told(done, str(path.parent), "damaged", "delete it")
            path.write_bytes(whole)
    assert not (tmp_path / "other").exists()


def test_what_a_killed_training_left_damaged_is_not_used(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(folds, "remove_states", lambda work: None)
        assert evaluate().exit_code == 0
    result = (run / "a.json").read_bytes()
    (run / "a.json").unlink()
    (run / ".00c0ffee.new").write_bytes(b"half")
    (state,) = run.glob("unfinished/*/latest.ckpt")
    state.write_bytes(state.read_bytes()[:-3000])
    done = evaluate()
    assert done.exit_code == 0, done.output
    assert f"{state}: damaged or gone; this training begins anew" in done.output
    assert sorted(path.name for path in run.iterdir()) == ["a.json", "a.pt", "logs", "report"]
    assert (run / "a.json").read_bytes().split(b"seconds")[0] == result.split(b"seconds")[0]

    (run / "a.json").write_bytes(result[:100])
    assert_told(evaluate(), "a.json: not the result of a fold", "remove it")


def test_a_run_folder_is_for_one_at_a_time(evaluate: Evaluate, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    other = os.open(run, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    assert_told(evaluate(), f"{run}: another edgeser is working in it")
    os.close(other)
    assert not list(run.iterdir())


def test_what_ends_at_once_leaves_no_folder(evaluate: Evaluate, tmp_path: Path) -> None:
    wild = ["optimiser.learning_rate=1e30", "optimiser.warm_up=0", "clip_norm=1e30", "epochs=9"]
    words = [word for setting in wild for word in ("--set", setting)]
    assert_told(evaluate(*words), "training: the loss became")
    assert not (tmp_path / "run" / "unfinished").exists()
    at_once = ("--set", "epochs=1", "--set", "batch=64", "--set", "ema_decay=0")
    done = evaluate(*words, *at_once, run=tmp_path / "once")  # before a loss could tell
    assert_told(done, "its model's scores are not numbers", "learning_rate")
    assert not list((tmp_path / "once").glob("*.json"))
    assert_told(evaluate("--folds", ""), "fold ''")
    assert_told(evaluate("--set", "model.labels=5", run=tmp_path / "b"), "the corpus has 4")
    assert not (tmp_path / "b").exists()
    (tmp_path / "file").touch()
    report = ("--report", tmp_path / "file", "--set", "epochs=1")
    assert_told(evaluate(*report, run=tmp_path / "c"), "file/report.json: cannot be written: Not a")
    assert not (tmp_path / "c").exists()
    assert "0 is not in the range" in evaluate("--jobs", "0").output


def test_a_condition_that_cannot_be_made_is_told(
    evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditions, "missing", lambda: {"Opus": "no coder"})
    monkeypatch.setattr(conditions, "ROBUSTNESS", ("clean", "gain +10 dB"))
    told = "condition 'Opus' is left out: no coder"
    assert evaluate("--robustness").output.splitlines()[0] == told
    assert told not in evaluate("--folds", "none").output


def test_want_of_memory_is_known_by_every_library_s_name_for_it() -> None:
    for greedy in (lambda: torch.empty(2**60), lambda: np.empty(2**50), lambda: bytes(2**62)):
        with pytest.raises(UserError, match="out of memory"), report_failures():
            greedy()
    assert shortage(RuntimeError("a defect")) is None
    with pytest.raises(RuntimeError, match="defect"), report_failures():
        raise RuntimeError("a defect")


def test_a_worker_that_is_killed_is_one_line() -> None:
    with pytest.raises(UserError, match="a worker process died"), Workers(1) as pool:
        pool.submit(os.abort).result()


def is_alive(status: Path) -> bool:
    """Of a process's stat file: there, and no zombie's."""
    try:
        return ") Z " not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_gone(pid: int) -> None:
    until(lambda: not is_alive(Path(f"/proc/{pid}/stat")))


def test_workers_end_with_an_error_here() -> None:
    pids: list[int] = []

    def interrupted() -> None:
        with Workers(1) as pool:
            pids.append(pool.submit(os.getpid).result())
            pool.submit(time.sleep, 600)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert_gone(pids[0])


def test_workers_end_with_a_parent_that_is_killed() -> None:
    code = """
import os, signal, time
from edgeser_train.workers import Workers
if __name__ == "__main__":
    pool = Workers(1)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 600)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert done.returncode == -9
    assert_gone(int(done.stdout))
