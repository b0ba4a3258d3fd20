"""The example in C++ compiles, and hears what edgeser predict hears."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeser.recognizer import Recognizer
from edgeser_export.waveform_export import waveform_of_artefact
from tests.docs.blocks import ROOT
from tests.sounds import SPEECH_SEGMENTS, speech

LIBRARY = ROOT / "build" / "onnxruntime"
MODEL = "lightweight-emodb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, the model with its front end, and a sound."""
    folder = tmp_path_factory.mktemp("cpp")
    assert LIBRARY.is_dir(), "make build/onnxruntime/.installed"
    source = ROOT / "examples" / "cpp"
    configure = ["cmake", "-S", str(source), "-B", str(folder), f"-DONNXRUNTIME={LIBRARY}"]
    for command in ([*configure, "-DCMAKE_CXX_FLAGS=-Werror"], ["cmake", "--build", str(folder)]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    waveform_of_artefact(MODEL, folder / "model.onnx")
    soundfile.write(folder / "speech.wav", speech(), 16_000)
    soundfile.write(folder / "stereo.wav", np.stack([speech()] * 2, axis=1), 16_000)
    soundfile.write(folder / "other.wav", speech(), 44_100)
    soundfile.write(folder / "empty.wav", speech()[:0], 16_000)
    holed = speech().astype(np.float32) / 32768
    holed[30_000:30_002] = np.nan, np.inf
    soundfile.write(folder / "holed.wav", holed, 16_000, subtype="FLOAT")
    return folder


def predict(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [str(folder / "predict"), *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("file", ["speech.wav", "stereo.wav"])
def test_it_hears_what_predict_hears(folder: Path, file: str) -> None:
    segments = list(Recognizer(MODEL).file(folder / file))
    assert len(segments) == SPEECH_SEGMENTS
    for segment in segments:
        done = predict(folder, "model.onnx", file, segment.start, segment.end)
        label, *scores = done.stdout.split()
        assert label == segment.label
        found = {name: float(score) for name, score in (pair.split("=") for pair in scores)}
        assert list(found) == list(segment.scores)
        assert list(found.values()) == pytest.approx(list(segment.scores.values()), abs=1e-3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model.onnx", "speech.wav", 1.0, 1.01), "too short: it takes at least 480 samples"),
        (("model.onnx", "speech.wav", 0, 99), "END_S is 99, the sound ends at "),
        (("model.onnx", "speech.wav", 99, 100), "END_S is 100, the sound ends at "),
        (("model.onnx", "speech.wav", 0, 1e300), "END_S is 1e+300, the sound ends at "),
        (("model.onnx", "speech.wav", -1, 2), "START_S is before the sound: -1"),
        (("model.onnx", "speech.wav", 3, 1), "END_S is before START_S: 1 and 3"),
        (("model.onnx", "speech.wav", 1, 1), "too short"),
        (("model.onnx", "empty.wav"), "too short"),
        (("model.onnx", "holed.wav"), "has samples that are NaN or infinite"),
        (("model.onnx", "holed.wav", 1.875, 3), "choose another stretch, or fix the file"),
        (
            ("model.onnx", "speech.wav", "nan", 3),
            "START_S and END_S are seconds, such as 1.5; got nan",
        ),
        (
            ("model.onnx", "speech.wav", 1, "3s"),
            "START_S and END_S are seconds, such as 1.5; got 3s",
        ),
        (("model.onnx", "other.wav"), "it has 44100 Hz, the model wants 16000"),
        (("model.onnx", "none.wav"), "none.wav: System error"),
        (("none.onnx", "speech.wav"), "none.onnx"),
        (("model.onnx",), "usage: predict MODEL.onnx SOUND.wav"),
    ],
)
def test_what_it_cannot_hear_is_one_line(
    folder: Path, words: tuple[object, ...], said: str
) -> None:
    done = predict(folder, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_stretch_without_the_hole_is_heard(folder: Path) -> None:
    assert predict(folder, "model.onnx", "holed.wav", 2, 4).returncode == 0


def test_an_artefact_of_features_is_refused(folder: Path) -> None:
    shipped = ROOT / "edge" / "edgeser" / "models" / f"{MODEL}.onnx"
    done = predict(folder, shipped, "speech.wav")
    assert done.returncode == 2
    assert "takes no waveform: make it with edgeser export --waveform" in done.stderr
