"""``edgeser bench model``: every case is measured, and its operations are counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeser.bench.flops import flops
from edgeser.model.artefact import shipped_models
from tests.bench.reports import named
from tests.system.daemons import edgeser


def test_model_measures_every_case(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    done = edgeser(
        *("bench", "model", "--model", "lightweight-emodb", "--threads", "1,2"),
        *("--batch", "1,4", "--window", "1,3", "--seconds", "0.1", "--json", str(file)),
    )
    assert done.code == 0, done.err
    report = json.loads(file.read_text())
    assert named(report, "model")
    cases = report["cases"]
    assert len(cases) == 8
    for case in cases:
        assert case["runs"] >= 5
        assert 0 < case["p50_ms"] <= case["p99_ms"]
        assert case["gflops"] > 0
        per_s = case["multiply_adds_per_audio_s"]
        done = 2 * per_s * case["batch"] * case["window_s"]
        assert case["gflops"] * case["p50_ms"] * 1e6 == pytest.approx(done)
        assert case["product_gflops"] > 0


def test_a_window_that_one_model_does_not_take_is_told() -> None:
    done = edgeser(
        *("bench", "model", "--model", "eca-emodb", "--model", "voices6"),
        *("--batch", "1", "--window", "1,7", "--seconds", "0.1"),
    )
    assert done.code == 0, done.err
    assert "\neca-emodb takes no window of 7 s: left out\n" in done.out


@pytest.mark.parametrize("wrong", [("--window", "1,15"), ("--model", "nonsense")])
def test_what_is_refused_has_no_heading(wrong: tuple[str, str]) -> None:
    done = edgeser("bench", "model", *wrong)
    assert done.code == 2
    assert done.out == ""


def test_operations_are_counted_from_the_graph() -> None:
    path = shipped_models()["lightweight-emodb"]
    one, four = flops(path, 1, 300), flops(path, 4, 300)
    assert one is not None
    assert four == pytest.approx(4 * one)
    # Two residual blocks: 277 million multiply-adds, by the shapes of the paper. The exported GRU
    # projects its input once for both directions, and then each through an identity.
    steps, units = 75, 3 * 128
    expected = 277e6 - steps * 2048 * units + 2 * steps * units**2
    assert one == pytest.approx(2 * expected, rel=0.05)
