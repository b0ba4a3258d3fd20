"""``benchmarks/gpu_check.py`` with a FAKE TensorRT (``fake/``)."""

from __future__ import annotations

import json
from pathlib import Path

from tests.model.tensorrt.running import FAKE, OF_A_PROCESSOR, STEADY, WINDOWS, python

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "gpu_check.py"


def test_the_check_of_a_gpu_finds_what_differs_and_names_what_was_not_run(
    cache: Path, driver: Path, tmp_path: Path
) -> None:
    nothing = python(SCRIPT)
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
    models = (WINDOWS, OF_A_PROCESSOR)
    words = (SCRIPT, *models, "--batches", "1,2", "--runs", "4", "-o", tmp_path)
    # Too little for the golden vectors' scores, too much for the logits.
    drift = {"FAKE_DRIFT": "1.002", "FAKE_DRIFT_WHERE": "graph"}
    here = {"XDG_CACHE_HOME": str(cache), **drift}
    done = python(*words, path=(FAKE,), libraries=(driver,), **here)
    assert done.returncode == 1, done.stderr
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["gpu"] == "Orin (8.7)"
    timed = [(row["batch"], row["clock"]) for row in report["rows"] if "clock" in row]
    assert timed == [(b, c) for b in (1, 2) for c in ("CUDA events", "whole call")]
    assert any("onnxruntime-gpu" in line for line in report["not run"])
    assert any(OF_A_PROCESSOR in line and "--symmetric" in line for line in report["not run"])
    (failure,) = report["failed"]
    assert "logits differ by 2.0e-03 of the largest, more than 1e-03" in failure
    page = (tmp_path / "gpu.md").read_text()
    assert f"| {WINDOWS} | TensorRT 10.3.0 fp32 | 1 | {STEADY} |" in page


def test_the_check_of_a_gpu_takes_streams_and_what_knows_noise(
    cache: Path, driver: Path, tmp_path: Path
) -> None:
    words = (SCRIPT, "streaming6", "moonshine6", "--batches", "1,2", "--runs", "2", "-o", tmp_path)
    done = python(*words, path=(FAKE,), libraries=(driver,), XDG_CACHE_HOME=str(cache))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["failed"] == []
    worst = {row["model"]: row["difference"] for row in report["rows"] if "difference" in row}
    assert set(worst) == {"streaming6", "moonshine6"}
    assert max(worst.values()) < 1e-5
