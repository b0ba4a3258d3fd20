"""Engines from the build to the daemon's events, with a FAKE TensorRT (``fake/``).

What is real here: the driver's probe, the command line, the cache and its refusals, buffers,
batches and graph launches as we order them, golden vectors, the fall-back. What only a GPU can tell
is in ``benchmarks/gpu_check.py``.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import onnx
import pytest

from edgeser.model.artefact import shipped_models
from edgeser.model.backends.tensorrt.cache import find, read_header, read_plan
from edgeser.model.backends.tensorrt.errors import EngineError
from edgeser.model.streams import MAX_BLOCKS
from tests.model.tensorrt import stubs
from tests.model.tensorrt.running import FAKE, WINDOWS, edgeser, python

Run: TypeAlias = "Callable[..., subprocess.CompletedProcess[str]]"
PREDICT = ("predict", "--model", WINDOWS)
BUILD = ("engine", "build", WINDOWS, "--batch", "1..3")
OF_A_PROCESSOR = "lightweight-emodb-int8"
STEADY, LONGEST = 150, 350
"""Frames of the default's windows of 3 s and of 7 s."""
SPEECH = Path(__file__).parents[3] / "edge" / "edgeser" / "bench" / "speech.flac"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stubs.driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture(scope="module")
def built(driver: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with one engine; tests that change it copy it."""
    cache = tmp_path_factory.mktemp("cache")
    done = edgeser(*BUILD, path=(FAKE,), libraries=(driver,), XDG_CACHE_HOME=str(cache))
    assert done.returncode == 0, done.stderr
    assert "golden vectors within" in done.stdout
    return cache


@pytest.fixture
def cache(built: Path, tmp_path: Path) -> Path:
    """A copy of the cache with one engine."""
    for file in (built / "edgeser" / "engines").iterdir():
        copy = tmp_path / "edgeser" / "engines" / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    return tmp_path


@pytest.fixture
def run(cache: Path, driver: Path) -> Run:
    def run(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
        more = {"XDG_CACHE_HOME": str(cache), **more}
        return edgeser(*words, path=(FAKE,), libraries=(driver,), **more)

    return run


def engine_file(cache: Path) -> Path:
    (file,) = (cache / "edgeser" / "engines").glob("*.engine")
    return file


def test_an_engine_is_listed_with_all_that_it_depends_on(run: Run, cache: Path) -> None:
    (entry,) = json.loads(run("engine", "list", "--json").stdout)
    assert entry["file"] == str(engine_file(cache))
    assert entry["usable"]
    engine = entry["engine"]
    assert engine["platform"] == {"gpu": "Orin", "capability": "8.7", "tensorrt": "10.3.0"}
    assert engine["precision"] == "fp32"
    lengths = {"shortest": 50, "steady": STEADY, "longest": LONGEST}
    assert engine["shapes"] == {**lengths, "batch": 3, "usual": 3}
    assert "can run here" in run("engine", "list").stdout
    done = run("engine", "verify")
    assert (done.returncode, done.stdout[:5]) == (0, "ok   ")


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
    for mine, other in zip(*(m.backend.hear(features, state) for m in (ours, theirs)), strict=True):
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


def test_the_next_build_replaces_engine_and_timings(run: Run, cache: Path) -> None:
    before = engine_file(cache)
    (timings,) = before.parent.glob("*.timings")
    timings.write_bytes(b"of another GPU")
    assert run(*BUILD).returncode == 0
    assert engine_file(cache) == before
    assert timings.read_bytes() == b"timings"
    assert not list(before.parent.glob("*.new"))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "cut off: "),
        (lambda file: file.write_bytes(file.read_bytes()[:100]), ": no engine of this edgeser"),
        (lambda file: file.write_bytes(b""), ": no engine of this edgeser"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1] + b"?"), "damaged: its bytes"),
        (lambda file: file.chmod(0o666), "may be written by others"),
        (lambda file: file.parent.chmod(0o777), "may be written by others"),
        (lambda file: file.unlink(), f"no engine of {WINDOWS} for Orin (8.7), TensorRT 10"),
    ],
    ids=["truncated", "header", "empty", "damaged", "writable", "folder", "missing"],
)
def test_a_file_that_is_not_what_was_built_is_refused_in_one_line(
    cache: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Path], object], said: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    engine = read_header(engine_file(cache))
    fault(engine_file(cache))
    with pytest.raises(EngineError) as refusal:
        read_plan(find(engine.model, engine.precision, engine.platform)[0])
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_without_an_engine_that_can_run_only_auto_goes_on(run: Run, cache: Path) -> None:
    file = engine_file(cache)
    file.write_bytes(file.read_bytes()[:-1])
    done = run(*PREDICT, "--backend", "tensorrt", SPEECH)
    assert done.returncode == 2
    assert "but engine " in done.stderr
    assert ": cut off: " in done.stderr
    assert done.stderr.count("\n") == 1
    assert run(*PREDICT, SPEECH).returncode == 0


def test_an_engine_for_something_else_is_not_taken(
    run: Run, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def said(*words: object, **more: str) -> str:
        done = run(*(words or (*PREDICT, "--backend", "tensorrt", SPEECH)), **more)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        return done.stderr

    other = stubs.driver(tmp_path_factory.mktemp("other"), name="RTX")
    foreign = edgeser(
        *PREDICT,
        "--backend",
        "tensorrt",
        SPEECH,
        path=(FAKE,),
        libraries=(other,),
        XDG_CACHE_HOME=str(cache),
    )
    assert "for RTX (8.7), TensorRT 10.3.0, but there is one for Orin (8.7)" in foreign.stderr
    newer = said(FAKE_TENSORRT="11.4.0.106")
    assert "TensorRT 11.4.0.106, but there is one for Orin (8.7), TensorRT 10.3.0" in newer
    changed = onnx.load(shipped_models()[WINDOWS])
    changed.doc_string = "the same in other bytes"
    onnx.save(changed, cache / "changed.onnx")
    stale = said("predict", "--model", cache / "changed.onnx", "--backend", "tensorrt", SPEECH)
    assert f"but there is one of another {WINDOWS}" in stale


def test_a_plan_that_tensorrt_refuses_is_said_in_its_words(run: Run, cache: Path) -> None:
    """The file says that it is for this version; the plan in it is not."""
    file = engine_file(cache)
    content = file.read_bytes().replace(b'"10.3.0"', b'"10.4.0"', 1)
    file.write_bytes(content)
    done = run(*PREDICT, "--backend", "tensorrt", SPEECH, FAKE_TENSORRT="10.4.0")
    assert done.returncode == 2
    assert "TensorRT refuses the engine: Version tag does not match" in done.stderr


def test_an_engine_that_drifts_is_neither_kept_nor_used(run: Run, cache: Path) -> None:
    done = run(*PREDICT, "--backend", "tensorrt", SPEECH, FAKE_DRIFT="1.2")
    assert done.returncode == 2
    assert "drifts from its golden vectors" in done.stderr
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
    assert "a test sound scores otherwise alone than among 5, by " in done.stderr


def test_a_build_that_drifts_leaves_the_engine_that_is_there(run: Run, cache: Path) -> None:
    before = engine_file(cache).read_bytes()
    done = run(*BUILD, FAKE_DRIFT="1.2")
    assert done.returncode == 2
    assert "the engine was built but is not kept: " in done.stderr
    assert "reinstall" not in done.stderr
    assert engine_file(cache).read_bytes() == before
    assert run("engine", "verify").returncode == 0


def test_a_folder_for_no_engine_is_told_before_the_build(run: Run, cache: Path) -> None:
    engine_file(cache).parent.chmod(0o777)
    # The build would be interrupted.
    for folder, said in ((str(cache), "may be written by others"), ("/proc/no", "cannot be writ")):
        done = run(*BUILD, XDG_CACHE_HOME=folder, FAKE_INTERRUPT="1")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert said in done.stderr


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


def test_ctrl_c_ends_a_build(run: Run, cache: Path) -> None:
    engine_file(cache).unlink()
    done = run(*BUILD, FAKE_INTERRUPT="1")
    assert done.returncode == 130
    assert "edgeser:" not in done.stderr  # who interrupts knows it
    assert "Traceback" not in done.stderr
    assert not list((cache / "edgeser" / "engines").glob("*.engine"))


def test_clear_removes_what_it_is_told_to(run: Run, cache: Path) -> None:
    done = run("engine", "clear", "voices")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no engine of 'voices'" in done.stderr
    assert run("engine", "clear", WINDOWS).stdout == "1 engines removed\n"
    assert len(list((cache / "edgeser" / "engines").iterdir())) == 1  # the timings
    assert run("engine", "clear").stdout == "0 engines removed\n"
    assert not list((cache / "edgeser" / "engines").iterdir())
    assert run("engine", "list").stdout.startswith("no engines")
    done = run("engine", "verify")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("damage", [b"", b"?"], ids=["whole", "cut off"])
def test_clear_takes_the_name_that_list_shows(run: Run, cache: Path, damage: bytes) -> None:
    file = engine_file(cache)
    other = file.with_name(file.name.replace(WINDOWS, "my_model"))
    other.write_bytes(file.read_bytes().replace(WINDOWS.encode(), b"my model", 1) + damage)
    shown = run("engine", "list").stdout
    name = "my_model" if damage else "my model"
    assert name in shown
    assert run("engine", "clear", name).stdout == "1 engines removed\n"
    assert not other.exists()
    assert file.exists()


def test_the_check_of_a_gpu_finds_what_differs_and_names_what_was_not_run(
    cache: Path, driver: Path, tmp_path: Path
) -> None:
    script = Path(__file__).parents[3] / "benchmarks" / "gpu_check.py"
    nothing = python(script)
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
    models = (WINDOWS, OF_A_PROCESSOR)
    words = (script, *models, "--batches", "1,2", "--runs", "4", "-o", tmp_path)
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
    script = Path(__file__).parents[3] / "benchmarks" / "gpu_check.py"
    words = (script, "streaming6", "moonshine6", "--batches", "1,2", "--runs", "2", "-o", tmp_path)
    done = python(*words, path=(FAKE,), libraries=(driver,), XDG_CACHE_HOME=str(cache))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["failed"] == []
    worst = {row["model"]: row["difference"] for row in report["rows"] if "difference" in row}
    assert set(worst) == {"streaming6", "moonshine6"}
    assert max(worst.values()) < 1e-5
