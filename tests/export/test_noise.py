"""A model learns what noise is when it is exported, and its artefact then recognises it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import soundfile
import torch
from click.testing import CliRunner

from edgeser.cli import main
from edgeser.errors import UserError
from edgeser.model.artefact import METADATA_KEY, ArtefactError, Noise
from edgeser.model.model import load_model
from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser_export.check import check
from edgeser_export.noise import learn_noise, least_shift
from edgeser_export.onnx_export import export
from edgeser_export.waveform_export import waveform_of_artefact
from edgeser_train.models.ensemble import ensemble_of, members_of
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.training import checkpoint
from edgeser_train.training.checkpoint import Origin
from tests.export.models import RELEASE, small
from tests.train.synthetic import make_manifest


def hiss(seed: int, seconds: float = 3.0) -> Samples:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))
    return np.round(3000 * noise).astype(np.int16)


@pytest.fixture(scope="module")
def hisses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("noise")
    for seed in range(6):
        soundfile.write(folder / f"hiss-{seed}.wav", hiss(seed), SAMPLE_RATE)
    return folder


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    named = []
    for name in ("one", "two"):
        manifest = make_manifest(tmp_path_factory.mktemp(name))
        named.append(f"manifest={manifest.rename(manifest.with_name(f'{name}.csv'))}")
    return named


def trained(name: str) -> tuple[SpeechModel, Origin]:
    """A small model that says that it heard both corpora."""
    model, origin = small(name)
    names = [f"{i}.wav" for i in range(16)]
    return model, msgspec.structs.replace(origin, corpora=["one", "two"], trained_on=names)


def learnt(
    model: SpeechModel, origin: Origin, corpora: list[str], hisses: Path, path: Path
) -> Noise:
    """``model`` learns noise, and is exported."""
    noise = learn_noise(model, origin, corpora, hisses, "", "hisses of ours")
    training = msgspec.structs.replace(RELEASE.training, corpora=origin.corpora)
    export(model, origin, path, replace(RELEASE, training=training, noise=noise))
    return noise


@pytest.mark.parametrize("name", ["lightweight", "streaming", "moonshine"])
def test_a_model_tells_noise_from_what_it_learnt(
    name: str, corpora: list[str], hisses: Path, tmp_path: Path
) -> None:
    model, origin = trained(name)
    export(model, origin, tmp_path / "without.onnx", RELEASE)
    noise = learnt(model, origin, corpora, hisses, tmp_path / "knows.onnx")
    assert noise.sounds == "hisses of ours"
    assert noise.found > 0.6
    assert noise.mistaken <= 0.04  # one of 16 in a corpus would be more
    without, knows = (load_model(str(tmp_path / f"{n}.onnx")) for n in ("without", "knows"))
    assert knows.info.noise == noise
    assert without.info.noise is None
    spoken, _ = soundfile.read(Path(corpora[0].partition("=")[2]).with_name("0.wav"), dtype="int16")
    sounds = [hiss(77, 1.7), spoken]
    answers = knows.answers([knows.pieces(sound) for sound in sounds])
    assert answers[0].noise is not None
    assert answers[1].noise is not None
    assert answers[0].noise > 0.5 > answers[1].noise
    for sound, answer in zip(sounds, answers, strict=True):
        (plain,) = without.answers([without.pieces(sound)])
        assert plain.noise is None
        np.testing.assert_allclose(answer.logits, plain.logits, atol=1e-5)
    found = check(tmp_path / "knows.onnx", *trained(name), [], 1)
    assert found.difference.value < 1e-4


@pytest.mark.parametrize("utterances", [16, 362, 500])
def test_no_more_than_one_per_cent_of_a_corpus_is_taken_for_noise(utterances: int) -> None:
    surely_speech = np.full(10, -3.0)
    odds = np.linspace(0.1, 1, utterances)
    shift = least_shift([surely_speech, odds])
    assert np.mean(odds > shift) <= 0.01 < np.mean(odds >= shift)
    assert least_shift([surely_speech, surely_speech]) == 0


def test_the_members_of_an_ensemble_learn_it_together(
    corpora: list[str], hisses: Path, tmp_path: Path
) -> None:
    (first, origin), (second, _) = trained("streaming"), trained("streaming")
    with torch.no_grad():
        for parameter in second.parameters():
            parameter += 0.02
    both = ensemble_of([first, second])
    assert members_of(both) == [first, second]
    learnt(both, origin, corpora, hisses, tmp_path / "both.onnx")
    model = load_model(str(tmp_path / "both.onnx"))
    (noise,) = (a.noise for a in model.answers([model.pieces(hiss(77))]))
    assert noise is not None
    assert noise > 0.5


@pytest.fixture(scope="module")
def knowing(corpora: list[str], hisses: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artefact that knows noise."""
    path = tmp_path_factory.mktemp("knowing") / "knows.onnx"
    learnt(*trained("lightweight"), corpora, hisses, path)
    return path


def edited(path: Path, artefact: Path, change: Callable[[Any, dict[str, Any]], object]) -> str:
    """A copy of an artefact, its graph and what it says of itself changed."""
    graph = onnx.load(artefact)
    (entry,) = [entry for entry in graph.metadata_props if entry.key == METADATA_KEY]
    said = json.loads(entry.value)
    change(graph.graph, said)
    entry.value = json.dumps(said)
    onnx.save(graph, path)
    return str(path)


def test_a_graph_that_has_forgotten_what_noise_is_is_refused(knowing: Path, tmp_path: Path) -> None:
    def other(_graph: Any, said: dict[str, Any]) -> None:
        said["golden"][0]["noise"] = 1 - said["golden"][0]["noise"]

    def gone(graph: Any, said: dict[str, Any]) -> None:
        del graph.output[1], said["outputs"][1]

    def unsaid(_graph: Any, said: dict[str, Any]) -> None:
        del said["noise"]
        for golden in said["golden"]:
            del golden["noise"]

    for change, told in [
        (other, "deviates from its golden vectors: 'noise'"),
        (gone, "its graph gives 4 logits, its metadata has 4 labels and noise"),
        (unsaid, "its graph gives 5 logits, its metadata has 4 labels and no noise"),
    ]:
        with pytest.raises(ArtefactError, match=told):
            load_model(edited(tmp_path / "forgot.onnx", knowing, change))


def test_a_front_end_in_the_graph_gives_emotions_alone(knowing: Path, tmp_path: Path) -> None:
    waveform_of_artefact(str(knowing), tmp_path / "waveform.onnx")
    session = ort.InferenceSession(str(tmp_path / "waveform.onnx"))
    assert [output.shape[1] for output in session.get_outputs()] == [4, 4]


def test_what_cannot_teach_noise_is_refused(
    corpora: list[str], hisses: Path, tmp_path: Path
) -> None:
    model, origin = trained("lightweight")
    other, of_other = trained("eca-cnn")
    absent = [f"{named}-none" for named in corpora]
    for name, sound in [("silent", np.zeros(SAMPLE_RATE, np.int16)), ("short", hiss(1, 0.4))]:
        (tmp_path / name).mkdir()
        for k in range(4):
            soundfile.write(tmp_path / name / f"{k}.wav", sound, SAMPLE_RATE)
    for words, told in [
        ((model, origin, corpora[:1], hisses, "", ""), "two or more"),
        ((model, origin, corpora[:1] * 2, hisses, "", ""), "one, one one is there twice"),
        ((model, origin, corpora, hisses, "bark", ""), "too few sounds"),
        ((model, origin, corpora, tmp_path / "silent", "", ""), "too few of its sounds are loud"),
        ((model, origin, corpora, tmp_path / "short", "", ""), "too few of its sounds are loud"),
        ((model, origin, corpora, hisses, "*", ""), "not a regular expression"),
        ((model, origin, corpora, hisses / "none", "", ""), "No such file or directory; name"),
        # Told before anything is read:
        ((other, of_other, absent, hisses / "none", "", ""), "does not name the vector"),
        ((model, origin, absent, hisses, "bark", ""), "too few sounds"),
    ]:
        with pytest.raises(UserError, match=told):
            learn_noise(*words)


def test_a_sound_that_is_cut_off_is_named_and_used(
    corpora: list[str], hisses: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for whole in hisses.iterdir():
        (tmp_path / whole.name).write_bytes(whole.read_bytes()[:-9000])
    learn_noise(*trained("lightweight"), corpora, tmp_path, "", "")
    told = [r.message for r in caplog.records if r.name == "edgeser.bench.sound"]
    assert len(told) == 6
    assert "hiss-0.wav: the file is cut off" in told[0]


def test_noise_from_the_command_line(corpora: list[str], hisses: Path, tmp_path: Path) -> None:
    model, origin = trained("lightweight")
    checkpoint.save(tmp_path / "model.pt", model, origin)
    out = tmp_path / "out.onnx"
    words = ["export", str(tmp_path / "model.pt"), "-o", str(out), "--noise", str(hisses)]
    calibrate = [word for named in corpora for word in ("--calibrate", named)]
    done = CliRunner().invoke(main, [*words, *calibrate])
    assert done.exit_code == 0, done.output
    assert "of sounds held out are found" in done.output
    assert "noise" in CliRunner().invoke(main, ["models", str(out)]).output
    for more, told in [
        ([], "--calibrate goes with"),
        ([*calibrate, "--waveform"], "emotions alone"),
    ]:
        out.unlink(missing_ok=True)
        refused = CliRunner().invoke(main, [*words, *more])
        assert (refused.exit_code, refused.output.count("\n")) == (2, 1)
        assert told in refused.output
        assert not out.exists()
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    nowhere = [*words[:2], "-o", str(folder), *words[4:], *calibrate]
    refused = CliRunner().invoke(main, nowhere)
    assert (refused.exit_code, refused.output.count("\n")) == (2, 1)
    assert f"{folder}: cannot be written: Is a directory" in refused.output
