"""``edgeser export --check``: does a file match its checkpoint?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest

from edgeser_export.check import check
from edgeser_export.record import Calibration
from edgeser_train.evaluation.unknown_voice_calibration import UnknownVoiceCalibration
from edgeser_train.training import checkpoint
from tests.command_line import edgeser
from tests.export.models import small
from tests.model.artefacts import changed
from tests.sounds import SPEECH_FILE


def test_damaged_files_are_refused_in_one_line(
    artefact: Path, tiny_run: Path, tmp_path: Path
) -> None:
    content = artefact.read_bytes()
    foreign = onnx.load(artefact)
    del foreign.metadata_props[:]
    for name, damaged in (
        ("truncated", content[: len(content) // 2]),
        ("empty", b""),
        ("text", b"not a graph at all"),
        ("no metadata", foreign.SerializeToString()),
    ):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(damaged)
        for words in (("predict", "--model", path, "x.wav"), ("--check",)):
            if words[0] == "--check":
                words = ("export", tiny_run / "model.pt", "--check", path)
            done = edgeser(*words)
            assert done.exit_code == 2, (name, done.output)
            assert done.output.count("\n") == 1, done.output


def test_check_tells_an_artefact_from_another(
    tiny_run: Path, emodb: Path, artefact: Path, tmp_path: Path
) -> None:
    model, path = tiny_run / "model.pt", tmp_path / "mine.onnx"
    assert edgeser("export", model, "-o", path).exit_code == 0
    done = edgeser("export", model, "--check", path, "--sounds", emodb)
    assert done.exit_code == 0, done.output
    assert "differs from the checkpoint by at most" in done.output
    assert "--seed" in done.output
    other = edgeser("export", tiny_run / "loso" / "03.pt", "--check", path)
    assert other.exit_code == 2
    assert "the ONNX graph differs from PyTorch" in other.output
    swapped = changed(path, tmp_path, lambda tree: tree["labels"].reverse())
    relabelled = edgeser("export", model, "--check", swapped)
    assert relabelled.exit_code == 2
    assert "labels: it says" in relabelled.output
    sound = tmp_path / "w.onnx"
    assert edgeser("export", model, "--waveform", "-o", sound).exit_code == 0
    heard = edgeser("export", model, "--check", sound, "--sounds", next(emodb.glob("*.wav")))
    assert heard.exit_code == 0, heard.output
    shorter = changed(sound, tmp_path, lambda tree: tree.update(min_frames=1))
    refused = edgeser("export", model, "--check", shorter)
    assert refused.exit_code == 2
    assert "min_frames: it says 1, the checkpoint" in refused.output


def test_a_sound_to_compare_on_that_breaks_off_is_named(
    artefact: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.flac"
    broken.write_bytes(SPEECH_FILE.read_bytes()[:100_000])
    model, origin = small("lightweight")
    check(artefact, model, origin, [broken], 0, Calibration(own_temperature=1.3))
    assert "broken.flac" in caplog.text


LIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "corpora: it says ['ravdess4']": lambda tree: tree["training"].update(corpora=["ravdess4"]),
    "licence: it says CC-BY-4.0": lambda tree: tree["training"].update(licence="CC-BY-4.0"),
    "date: it says 1999-12-31": lambda tree: tree["training"].update(date="1999-12-31"),
    "commit: it says deadbeef": lambda tree: tree["training"].update(commit="deadbeef"),
    "precision: it says int8": lambda tree: tree.update(precision="int8"),
    "golden vectors": lambda tree: tree["golden"].pop(),
    "ua: it says": lambda tree: tree["training"]["ua"].update(value=0.99),
    "protocol: it says loso": lambda tree: tree["training"].update(
        protocol="loso, test part, pooled"
    ),
    "temperature: it says 2.5": lambda tree: tree.update(temperature=2.5),
    "threshold: it says 0.9": lambda tree: tree.update(abstain_below=0.9),
}


@pytest.fixture(scope="module")
def evaluated(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artefact with the figures of the toy's report."""
    path = tmp_path_factory.mktemp("evaluated") / "evaluated.onnx"
    report = tiny_run / "loso" / "report" / "report.json"
    done = edgeser("export", tiny_run / "model.pt", "--report", report, "-o", path)
    assert done.exit_code == 0, done.output
    return path


@pytest.mark.parametrize("said", LIES)
def test_check_tells_what_is_not_true_of_a_file(
    said: str, tiny_run: Path, evaluated: Path, tmp_path: Path
) -> None:
    report = tiny_run / "loso" / "report" / "report.json"
    lying = changed(evaluated, tmp_path, LIES[said])
    done = edgeser("export", tiny_run / "model.pt", "--check", lying, "--report", report)
    assert done.exit_code == 2
    assert said in done.output
    assert done.output.count("\n") == 1


def test_check_says_what_it_cannot_compare(tiny_run: Path, evaluated: Path, tmp_path: Path) -> None:
    words = ("export", tiny_run / "model.pt", "--check")
    report = tiny_run / "loso" / "report" / "report.json"
    whole = edgeser(*words, evaluated, "--report", report)
    assert (whole.exit_code, "not compared" in whole.output) == (0, False), whole.output
    without = edgeser(*words, evaluated)
    assert (without.exit_code, "not compared" in without.output) == (0, True), without.output
    bare = tmp_path / "bare.onnx"
    assert edgeser("export", tiny_run / "model.pt", "-o", bare).exit_code == 0
    unsure = changed(bare, tmp_path, lambda tree: tree.update(abstain_below=0.5))
    assert (
        "threshold: it says 0.5, an export with these options 0.0" in edgeser(*words, unsure).output
    )


def test_check_takes_the_options_that_the_file_was_exported_with(
    tiny_run: Path, evaluated: Path, tmp_path: Path
) -> None:
    model, path = tiny_run / "model.pt", tmp_path / "told.onnx"
    told = ("--temperature", "0.8", "--abstain-below", "0.25")
    assert edgeser("export", model, *told, "-o", path).exit_code == 0
    same = edgeser("export", model, "--check", path, *told)
    assert (same.exit_code, "not compared" in same.output) == (0, False), same.output
    for others in ((), (*told, "--temperature", "0.9")):
        done = edgeser("export", model, "--check", path, *others)
        assert (done.exit_code, done.output.count("\n")) == (2, 1)
        assert "temperature: it says 0.8" in done.output
        assert "give the --report, --strangers, --temperature" in done.output
    hotter = edgeser("export", model, "--check", evaluated, "--temperature", "7")
    assert "an export with these options 7.0" in hotter.output


CENTRED_OTHERWISE: dict[str, Callable[[dict[str, Any]], None]] = {
    "prior": lambda tree: tree["centring"].update(prior=[5.0, -5.0, 0.0, 0.0]),
    "own_frames": lambda tree: tree["centring"].update(own_frames=1),
    "most_frames": lambda tree: tree["centring"].update(most_frames=1),
    "known_scale": lambda tree: tree["centring"].update(known_scale=3.0),
    "stranger_shift": lambda tree: tree["centring"].update(stranger_shift=[]),
    "centred by voice": lambda tree: tree.update(centring=None),
}


def test_check_compares_how_logits_are_centred(tmp_path: Path) -> None:
    model, origin = small("lightweight", "voices")
    checkpoint.save(tmp_path / "model.pt", model, origin)
    strangers = tmp_path / "strangers.json"
    shift = dict(zip(origin.labels, (0.5, -0.25, 0.1, 0.0), strict=True))
    strangers.write_bytes(msgspec.json.encode(UnknownVoiceCalibration(1.5, 1.25, shift, 0.3)))
    path, words = tmp_path / "centred.onnx", ("export", tmp_path / "model.pt")
    of_strangers = ("--strangers", strangers)
    made = edgeser(*words, *of_strangers, "-o", path)
    assert made.exit_code == 0, made.output
    same = edgeser(*words, *of_strangers, "--check", path)
    assert (same.exit_code, "not compared" in same.output) == (0, False), same.output
    without = edgeser(*words, "--check", path)
    assert (without.exit_code, "temperature: it says 1.5" in without.output) == (2, True)
    for field, change in CENTRED_OTHERWISE.items():
        done = edgeser(*words, *of_strangers, "--check", changed(path, tmp_path, change))
        assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
        assert f"{field}: it says" in done.output
