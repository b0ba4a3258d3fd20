"""What an engine computes, with a FAKE TensorRT (``fake/``).

What is real here: the driver's probe, the command line, buffers, batches and graph launches as we
order them, golden vectors, the fall-back. What only a GPU can tell is in
``benchmarks/gpu_check.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from edgeser.model.artefact import shipped_models
from edgeser.model.backends.tensorrt.cache import read_plan
from edgeser.model.streams import MAX_BLOCKS
from tests.model.tensorrt.running import (
    BUILD,
    FAKE,
    LONGEST,
    OF_A_PROCESSOR,
    PREDICT,
    SPEECH,
    WINDOWS,
    Run,
    engine_file,
    python,
)


def test_predict_gives_what_onnx_runtime_gives(run: Run) -> None:
    rows = {}
    for backend in ("onnxruntime", "tensorrt"):
        done = run(*PREDICT, "--json", "--backend", backend, SPEECH, FAKE_TRACE="1")
        assert done.returncode == 0, done.stderr
        rows[backend] = [json.loads(line)["event"]["scores"] for line in done.stdout.splitlines()]
        assert ("graph launched" in done.stderr) == (backend == "tensorrt")
    assert rows["tensorrt"]
    assert rows["tensorrt"] == [pytest.approx(row, abs=1e-5) for row in rows["onnxruntime"]]


def test_what_a_model_says_of_noise_comes_out_of_an_engine_too(run: Run) -> None:
    done = run("engine", "build", "moonshine6", "--batch", "1..2")
    assert done.returncode == 0, done.stderr
    noise = {}
    for backend in ("onnxruntime", "tensorrt"):
        words = ("predict", "--model", "moonshine6", "--json", "--backend", backend, SPEECH)
        events = [json.loads(line)["event"] for line in run(*words).stdout.splitlines()]
        noise[backend] = [event["quality"]["noise_probability"] for event in events]
    assert noise["tensorrt"]
    assert noise["tensorrt"] == pytest.approx(noise["onnxruntime"], abs=1e-4)


def test_an_engine_hears_a_stream_block_by_block(run: Run, cache: Path, driver: Path) -> None:
    done = run("engine", "build", "streaming6", "--batch", "1..3")
    assert done.returncode == 0, done.stderr
    entries = json.loads(run("engine", "list", "--json").stdout)
    (shapes,) = (e["engine"]["shapes"] for e in entries if e["engine"]["model"]["name"] != WINDOWS)
    assert shapes == {"shortest": 25, "steady": 25, "longest": 25, "batch": 3, "usual": 3}
    rows = {}
    for backend in ("onnxruntime", "tensorrt"):
        words = ("predict", "--model", "streaming6", "--json", "--backend", backend, SPEECH)
        done = run(*words, FAKE_TRACE="1")
        rows[backend] = [json.loads(line)["event"]["scores"] for line in done.stdout.splitlines()]
        assert ("graph launched" in done.stderr) == (backend == "tensorrt")
    assert rows["tensorrt"]
    assert rows["tensorrt"] == [pytest.approx(row, abs=1e-5) for row in rows["onnxruntime"]]
    code = """
import numpy as np, edgeser
ours, theirs = (edgeser.load_model('streaming6', backend=b) for b in ("tensorrt", "onnxruntime"))
layout, rng = ours.info.streaming, np.random.default_rng(1)
for batch in (1, 2, 3, 8):
    features = rng.standard_normal((batch, layout.block_frames, 64), np.float32)
    state = rng.uniform(-0.5, 0.5, (batch, layout.state)).astype(np.float32)
    for mine, other in zip(*(m.backend.step(features, state) for m in (ours, theirs)), strict=True):
        assert mine.shape == other.shape
        assert np.abs(mine - other).max() < 1e-4
"""
    environment = {"XDG_CACHE_HOME": str(cache)}
    done = python("-c", code, path=(FAKE,), libraries=(driver,), **environment)
    assert done.returncode == 0, done.stderr


def test_batches_are_tuned_for_what_the_daemon_runs_at_once(run: Run, cache: Path) -> None:
    assert run("engine", "build", "streaming6", "--batch", "1..20").returncode == 0
    (file,) = (cache / "edgeser" / "engines").glob("streaming6-*.engine")
    _, plan = read_plan(file)
    _, (_, several) = json.loads(plan.partition(b"\n")[0])  # the fake's
    assert [shape[0] for shape in several["features"]] == [2, MAX_BLOCKS, 20]


def test_every_batch_and_length_goes_through_with_and_without_a_graph(
    cache: Path, driver: Path
) -> None:
    code = """
import numpy as np, edgeser
from edgeser.model.golden import waveform
ours, theirs = (edgeser.load_model('voices6', backend=name) for name in ("tensorrt", "onnxruntime"))
print(ours.backend.name)
for lengths in ([3.0], [3.0], [1.0], [7.0], [0.3, 3.0], [3.0] * 3, [1.0, 2.0, 3.0, 4.0, 5.0, 6.5]):
    windows = [ours.pieces(waveform(seed, s)) for seed, s in enumerate(lengths)]
    assert np.abs(ours.scores(windows) - theirs.scores(windows)).max() < 1e-5, lengths
try:
    width = ours.info.front_end.width
    ours.backend.run(np.zeros((1, 800, width), np.float32), np.array([800]))
except edgeser.errors.UserError as error:
    print(error)
"""
    for more, launches in (({}, True), ({"FAKE_NO_CAPTURE": "1"}, False)):
        done = python(
            "-c",
            code,
            path=(FAKE,),
            libraries=(driver,),
            XDG_CACHE_HOME=str(cache),
            FAKE_TRACE="1",
            **more,
        )
        assert done.returncode == 0, done.stderr
        name, refusal = done.stdout.splitlines()
        assert name == "tensorrt/Orin fp32"
        assert refusal.startswith(f"800 frames: the engine takes 50 to {LONGEST}")
        assert ("graph launched" in done.stderr) == launches


def test_an_engine_that_drifts_is_neither_kept_nor_used(run: Run, cache: Path) -> None:
    done = run(*PREDICT, "--backend", "tensorrt", SPEECH, FAKE_DRIFT="1.2")
    assert done.returncode == 2
    assert "deviates from its golden vectors" in done.stderr
    assert "build the engine again" in done.stderr
    of_a_batch = {"FAKE_DRIFT": "-1", "FAKE_DRIFT_WHERE": "batch"}
    assert run(*PREDICT, "--backend", "tensorrt", SPEECH, **of_a_batch).returncode == 2
    assert run(*PREDICT, SPEECH, FAKE_DRIFT="1.2").returncode == 0
    assert run("engine", "verify", FAKE_DRIFT="1.2").returncode == 1
    engine_file(cache).unlink()
    done = run(*BUILD, FAKE_DRIFT="1.2")
    assert done.returncode == 2
    assert "the engine was built but is not kept: " in done.stderr
    assert not list((cache / "edgeser" / "engines").glob("*.engine"))


@pytest.mark.parametrize(
    ("model", "batch", "where"),
    [
        ("lightweight-emodb", "1..2", "graph"),
        ("lightweight-emodb", "1", "graph"),
        ("lightweight-emodb", "1..2", "batch"),
        ("streaming6", "1..2", "batch"),
    ],
)
def test_every_way_through_an_engine_is_verified(
    run: Run, model: str, batch: str, where: str
) -> None:
    """No golden vector goes by the graph of this model's partials, and none through a batch."""
    drift = {"FAKE_DRIFT": "-1", "FAKE_DRIFT_WHERE": where}
    done = run("engine", "build", model, "--batch", batch, **drift)
    assert done.returncode == 2, done.stdout
    assert "a test sound scores differently alone and in a batch of 5, by " in done.stderr


def test_what_cannot_be_built_is_one_line(run: Run, cache: Path) -> None:
    strange = onnx.load(shipped_models()[WINDOWS])
    strange.graph.node[0].op_type = "Sorcery"
    onnx.save(strange, cache / "strange.onnx")
    for words, more, said in (
        (("engine", "build", cache / "strange.onnx"), {}, "Sorcery '/spell': No importer"),
        ((*BUILD, "--precision", "fp16"), {}, "computes in fp32"),
        ((*BUILD[:3], "--batch", "2..4"), {}, "--batch: expected 1..N"),
        ((*BUILD[:2], "no-such-model"), {}, "neither a file nor a shipped model"),
        ((*BUILD[:2], OF_A_PROCESSOR), {}, "its integers are unsigned"),
    ):
        done = run(*words, **more)
        assert done.returncode == 2, done.stdout
        assert said in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
