"""Trainings as processes: killed and resumed, and two that train one model together."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from edgeser.cli import main
from tests.train.synthetic import tiny_settings

WEIGHTS = Path("model.pt")


def command(emodb: Path, cache: Path, output: Path, *words: str) -> list[str]:
    fixed = ["train", "--corpus", f"emodb={emodb}", "--cache", str(cache), "-o", str(output)]
    return ["edgeser", *fixed, *tiny_settings(), *words]


def here(command: list[str]) -> str:
    """What a command says in this process, which has torch in memory already."""
    done = CliRunner().invoke(main, command[1:])
    assert done.exit_code == 0, done.output
    return done.stdout


def weights(folder: Path) -> dict[str, torch.Tensor]:
    content = torch.load(folder / WEIGHTS, weights_only=True)
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
        [sys.executable, "-m", *killed], stderr=subprocess.DEVNULL, env=environment
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
