"""Trainings as processes: killed and resumed, and two that train one model together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import torch
from click.testing import CliRunner

from edgeser.cli import main
from edgeser_train.evaluation.folds import FoldResult
from edgeser_train.training.progress import read_progress
from tests.patience import until
from tests.train.synthetic import make_manifest, tiny_settings

WEIGHTS = Path("model.pt")
WAITS_IN_THE_FIFTH_EPOCH = """
import sys, time
from edgeser.cli import main
from edgeser_train.training.classifier import Classifier
step = Classifier.training_step
def waiting(classifier, batch, index):
    if classifier.current_epoch == 4:
        time.sleep(600)
    return step(classifier, batch, index)
Classifier.training_step = waiting
main(sys.argv[1:])
"""
KILLED_WHILE_IT_SCORES = """
import os, signal, sys
from edgeser.cli import main
from edgeser_train.evaluation import folds
folds.utterance_logits = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1:])
"""
THE_SECOND_ENDS_LATE = """
import os, sys, time
from pathlib import Path
from edgeser.cli import main
from edgeser_train.training import training
chosen = training._chosen
def late(classifier, work):
    until = time.monotonic() + 3
    while os.environ["RANK"] == "1" and (work / "best.ckpt").exists() and time.monotonic() < until:
        time.sleep(0.02)
    return chosen(classifier, work)
training._chosen = late
main(sys.argv[1:])
"""


def command(emodb: Path, cache: Path, output: Path, *words: str) -> list[str]:
    fixed = ["train", "--corpus", f"emodb={emodb}", "--cache", str(cache), "-o", str(output)]
    return ["edgeser", *fixed, *tiny_settings(), *words]


def here(command: list[str]) -> str:
    """What a command says in this process, which has torch in memory already."""
    done = CliRunner().invoke(main, command[1:])
    assert done.exit_code == 0, done.output
    return done.stdout


def weights(folder: Path, name: Path = WEIGHTS) -> dict[str, torch.Tensor]:
    content = torch.load(folder / name, weights_only=True)
    return dict(content["weights"])


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def test_a_training_killed_at_any_point_goes_on_to_the_same_end(
    emodb: Path, cache: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    words = ("--set", "epochs=8", "--set", "model.dropout=0.3")
    done = here(command(emodb, cache, tmp_path / "whole", *words))
    killed = command(emodb, cache, tmp_path / "killed", *words)
    begun = subprocess.Popen(
        [sys.executable, "-c", WAITS_IN_THE_FIFTH_EPOCH, *killed[1:]],
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    while not list((tmp_path / "killed").glob("unfinished/*/latest.ckpt")):
        assert begun.poll() is None
        time.sleep(0.02)
    begun.kill()
    begun.wait()
    assert not (tmp_path / "killed" / WEIGHTS).exists()

    assert here(killed).split(":")[-1] == done.split(":")[-1]
    for name, expected in weights(tmp_path / "whole").items():
        torch.testing.assert_close(weights(tmp_path / "killed")[name], expected, msg=name)
    rows = (tmp_path / "killed/logs/version_1/metrics.csv").read_text().splitlines()
    assert 1 < len(rows) < 9, "it should not have begun anew"
    assert not (tmp_path / "killed" / "unfinished").exists()


@pytest.mark.parametrize(
    "settings",
    [("ema_decay=0.9",), ("ema_decay=0.0",), ("patience=1", "epochs=12", "ema_decay=0.9")],
    ids=["average", "last", "patience"],
)
def test_what_is_killed_while_it_scores_has_the_same_weights(
    settings: tuple[str, ...], tmp_path: Path, environment: dict[str, str]
) -> None:
    listed = f"manifest={make_manifest(tmp_path)}"
    fixed = ["evaluate", "--protocol", "loso_val", "--folds", "a", "--corpus", listed]
    fixed += ["--cache", str(tmp_path / "cache"), *tiny_settings(), "--set", "batch=4"]
    fixed += [word for setting in settings for word in ("--set", setting)]
    whole, killed = ([*fixed, "-o", str(tmp_path / name)] for name in ("whole", "killed"))
    words = [sys.executable, "-c", KILLED_WHILE_IT_SCORES, *killed]
    assert subprocess.run(words, stderr=subprocess.DEVNULL, env=environment).returncode == -9
    (state,) = (tmp_path / "killed").glob("unfinished/*/latest.ckpt")
    told = [here(["edgeser", *words]).split(";")[0] for words in (whole, killed)]

    assert told[0] == told[1]
    assert not state.exists()
    for name, expected in weights(tmp_path / "whole", Path("a.pt")).items():
        assert torch.equal(weights(tmp_path / "killed", Path("a.pt"))[name], expected), name
    results = [
        msgspec.json.decode((tmp_path / folder / "a.json").read_bytes(), type=FoldResult)
        for folder in ("whole", "killed")
    ]
    assert msgspec.structs.replace(results[0], seconds=results[1].seconds) == results[1]
    if "patience=1" in settings:
        assert len(results[0].validation) < 12, "patience should have ended it"


@pytest.mark.parametrize(
    ("number", "jobs"), [(signal.SIGTERM, "1"), (signal.SIGTERM, "2"), (signal.SIGINT, "2")]
)
def test_what_is_stopped_is_a_line_and_leaves_no_process(
    tmp_path: Path, environment: dict[str, str], number: signal.Signals, jobs: str
) -> None:
    words = ["evaluate", "--corpus", f"manifest={make_manifest(tmp_path)}", *tiny_settings()]
    words += ["--set", "epochs=100000", "--jobs", jobs]
    words += ["--cache", str(tmp_path / "cache"), "-o", str(tmp_path / "run")]
    begun = subprocess.Popen(
        [sys.executable, "-m", "edgeser", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )

    def is_at_work() -> bool:
        return any(p.done > 1 for p in read_progress(tmp_path / "run" / "unfinished"))

    until(lambda: begun.poll() is not None or is_at_work())
    begun.send_signal(number)
    told, _ = begun.communicate()  # which ends when the last process has closed its end
    assert begun.returncode == 128 + number, told
    lines = [line for line in told.splitlines() if not line.startswith(("trained", "  "))]
    assert lines == ["edgeser: stopped; the same command continues from there"]


def test_two_processes_train_one_model(
    emodb: Path, cache: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [sys.executable, "-m", *torchrun, "-m", *command(emodb, cache, tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("training loss") == 1
    assert all(torch.isfinite(w).all() for w in weights(tmp_path).values())
    here(command(emodb, cache, tmp_path / "alone"))
    # Each took half of every batch, so one step saw what one process sees in one step.
    ours, theirs = (weights(folder)["head.0.weight"] for folder in (tmp_path, tmp_path / "alone"))
    torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0)


def test_the_best_state_stays_until_every_process_has_it(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "late.py").write_text(THE_SECOND_ENDS_LATE)
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [sys.executable, "-m", *torchrun, str(tmp_path / "late.py")]
    words += ["train", "--protocol", "loso_val", "--fold", "a", *tiny_settings()]
    words += ["--corpus", f"manifest={make_manifest(tmp_path)}", "--set", "patience=2"]
    words += ["--cache", str(tmp_path / "cache"), "-o", str(tmp_path / "run")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / WEIGHTS).exists()
    assert not (tmp_path / "run" / "unfinished").exists()


def test_threads_that_wait_leave_the_cores_to_others(tmp_path: Path) -> None:
    listed = f"manifest={make_manifest(tmp_path)}"
    words = ["train", "--dry-run", "--corpus", listed, "-o", str(tmp_path / "run")]
    environment = {**os.environ, "OMP_DISPLAY_ENV": "TRUE"}
    environment.pop("OMP_WAIT_POLICY", None)
    done = subprocess.run(
        [sys.executable, "-m", "edgeser", *words], capture_output=True, text=True, env=environment
    )
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr
