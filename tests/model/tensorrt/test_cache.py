"""Files of engines: kept, listed, replaced, refused, cleared. With a FAKE TensorRT (``fake/``)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from edgeser.model.artefact import shipped_models
from edgeser.model.backends.tensorrt.cache import find, read_header, read_plan
from edgeser.model.backends.tensorrt.errors import EngineError
from tests.model.tensorrt import stubs
from tests.model.tensorrt.running import (
    BUILD,
    FAKE,
    LONGEST,
    PREDICT,
    SPEECH,
    STEADY,
    WINDOWS,
    Run,
    edgeser,
    engine_file,
)


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


def test_the_next_build_replaces_engine_and_timings(run: Run, cache: Path) -> None:
    before = engine_file(cache)
    (timings,) = before.parent.glob("*.timings")
    timings.write_bytes(b"of another GPU")
    assert run(*BUILD).returncode == 0
    assert engine_file(cache) == before
    assert timings.read_bytes() == b"timings"
    assert not list(before.parent.glob("*.new"))


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


def test_ctrl_c_ends_a_build(run: Run, cache: Path) -> None:
    engine_file(cache).unlink()
    done = run(*BUILD, FAKE_INTERRUPT="1")
    assert done.returncode == 130
    assert "edgeser:" not in done.stderr  # who interrupts knows it
    assert "Traceback" not in done.stderr
    assert not list((cache / "edgeser" / "engines").glob("*.engine"))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "truncated: "),
        (lambda file: file.write_bytes(file.read_bytes()[:100]), ": not an engine of this edgeser"),
        (lambda file: file.write_bytes(b""), ": not an engine of this edgeser"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1] + b"?"), "damaged: its content"),
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
    assert ": truncated: " in done.stderr
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
