"""The benchmarks that read a run folder, on two folds of a toy."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
import soundfile

from benchmarks import daemon_on_corpus, frame_phase
from edgeser.errors import UserError
from edgeser.features.front_end import Floats
from edgeser.model.artefact import shipped_models
from edgeser_export import variants
from edgeser_export.variants import compare
from edgeser_export.variants_text import markdown
from edgeser_train.corpora import Utterance, load_corpora
from edgeser_train.evaluation.folds import FoldResult
from edgeser_train.training.recipe import Recipe
from tests.sounds import silence
from tests.train.synthetic import make_manifest


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the two folds, of which each has scored two utterances."""
    for file in (tiny_run / "loso").glob("0?.*"):
        shutil.copy(file, tmp_path)
    for file in tmp_path.glob("*.json"):
        rewrite(file)
    return tmp_path


def rewrite(file: Path, **fields: object) -> None:
    """Of a fold's result, keep two utterances; give it other fields."""
    result = msgspec.json.decode(file.read_bytes(), type=FoldResult)
    of_utterances = ("utterances", "corpora", "speakers", "targets")
    two = {name: getattr(result, name)[:2] for name in of_utterances}
    two["logits"] = [condition[:2] for condition in result.logits]
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(result, **two | fields)))


def test_frame_phase(run: Path, emodb: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame_phase.compare(run, f"emodb={emodb}", 80)
    assert "4 utterances delayed by 80 samples" in capsys.readouterr().out


def test_another_corpus_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="other utterances or labels than mine"):
        frame_phase.compare(run, f"manifest={make_manifest(tmp_path / 'mine')}", 80)


def test_a_file_that_the_daemon_cannot_hear_is_named() -> None:
    with pytest.raises(UserError, match=r"ended with 2; .* /nowhere.wav: there is no such file"):
        daemon_on_corpus.play(Path("/nowhere.wav"), shipped_models()["lightweight-emodb"])


def test_a_file_without_speech_has_no_finals(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", silence(1.0), 16_000)
    model = shipped_models()["lightweight-emodb"]
    assert daemon_on_corpus.play(tmp_path / "silence.wav", model) == []


def test_the_daemon_on_a_corpus_twice_in_one_folder(
    run: Path, emodb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        outcomes = daemon_on_corpus.examine(run, f"emodb={emodb}", 1)
        daemon_on_corpus.write(outcomes, run)
        assert [o.speaker for o in outcomes] == ["03", "03", "08", "08"]
        monkeypatch.setattr(daemon_on_corpus, "play", lambda file, artefact: [])
    assert "4 files" in (run / "daemon.md").read_text()


def test_integers_are_calibrated_on_nothing_that_is_scored(
    run: Path, emodb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run of ``--part validation`` the checkpoint has seen what is scored."""
    seen, other = "08a01Wa", "08a01Na"
    heard: list[str] = []
    original = variants.pieces_of_some  # type: ignore[attr-defined]

    def pieces(utterances: list[Utterance], recipe: Recipe, min_frames: int) -> list[Floats]:
        heard.extend(u.name for u in utterances)
        return original(utterances[::20], recipe, min_frames)

    monkeypatch.setattr(variants, "pieces_of_some", pieces)
    (run / "08.json").unlink()
    rewrite(run / "03.json", part="validation", utterances=[seen, other])
    report = compare(run, load_corpora([f"emodb={emodb}"]), "command", rounds=1)
    assert heard
    assert not {seen, other} & set(heard)
    assert "2 validation utterances" in markdown(report)


def test_folds_of_two_seeds_are_not_mixed(run: Path, emodb: Path) -> None:
    rewrite(run / "08.json", seed=2)
    with pytest.raises(UserError, match="several seeds"):
        compare(run, load_corpora([f"emodb={emodb}"]), "command")
