"""Metrics on unseen voices, by what is known of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgeser.cli import main
from edgeser.errors import UserError
from edgeser.features import WindowPolicy
from edgeser.features.front_end import Floats
from edgeser.features.pieces import Pieces
from edgeser.model.artefact import ArtefactError, Estimate, model_path
from edgeser.model.model import load_model
from edgeser.model.unseen import read_unseen, unseen_file
from edgeser_train.corpora import load_corpora
from edgeser_train.data.front_ends import VOICES
from edgeser_train.evaluation import unseen_rows
from edgeser_train.evaluation.corpus_evaluator import CorpusEvaluator, Scorer
from edgeser_train.evaluation.enrolment import EARLIER, ENROLMENTS, Enrolment, chosen, enrolled_for
from edgeser_train.evaluation.unseen import (
    Predictions,
    auc,
    metrics_of,
    ua_gain,
    ua_interval,
)
from edgeser_train.evaluation.unseen_report import Document, enrolment_row, markdown, record
from edgeser_train.evaluation.unseen_rows import check_corpora
from edgeser_train.sound.conditions import ROBUSTNESS
from tests.train.predictions import UNSEEN_LABELS, predictions_of
from tests.train.synthetic import make_manifest


@pytest.fixture(scope="module")
def evaluator(emodb: Path) -> CorpusEvaluator:
    scorer = Scorer(Loudness(), UNSEEN_LABELS, VOICES, WindowPolicy())
    return CorpusEvaluator(load_corpora([f"emodb={emodb}"]), scorer)


def test_a_sure_and_right_model_has_full_marks() -> None:
    targets = [0, 2, 3, 4] * 6
    found = metrics_of(predictions_of(targets, 20 * np.eye(5)[targets]), 1.0, 0.5)
    assert found.ua4 == found.ua == found.arousal_ua == 1
    assert found.arousal_auc == found.valence_auc == 1
    assert found.ece == pytest.approx(0, abs=1e-6)
    assert found.answered == found.answered_wa == 1


def test_classes_that_the_corpus_lacks_are_not_in_the_way() -> None:
    targets = [0, 2, 3, 4] * 6
    logits = np.eye(5)[targets] + 5 * np.eye(5)[1]  # all sound fearful most of all
    found = metrics_of(predictions_of(targets, logits), 1.0, 0.0)
    assert found.ua4 == found.ua == 1
    assert found.ece > 0.5


def test_auc_counts_ties_half() -> None:
    assert auc(np.array([1.0, 2.0]), np.array([0.0])) == 1
    assert auc(np.array([1.0]), np.array([1.0, 1.0])) == 0.5
    assert auc(np.array([0.0, 2.0]), np.array([1.0])) == 0.5
    assert np.isnan(auc(np.zeros(0), np.ones(1)))


def test_an_interval_holds_the_figure() -> None:
    rng = np.random.default_rng(0)
    targets = [int(k) for k in rng.integers(0, 5, 200)]
    logits = np.eye(5)[targets] + rng.normal(0, 1, (200, 5))
    found = ua_interval([predictions_of(targets, logits)] * 2)
    assert 0 < found.low < found.value < found.high < 1
    assert ua_interval([predictions_of(targets, 9 * np.eye(5)[targets])]).low == 1


class Loudness:
    """Returns the number of frames and the mean of the features in place of logits."""

    def __call__(self, windows: Sequence[Pieces]) -> Floats:
        rows = [[len(w[0]), float(np.concatenate(w).mean()), 0, 0, 0] for w in windows]
        return np.array(rows, np.float32)


def test_predictions_stand_in_the_order_of_the_corpus(evaluator: CorpusEvaluator) -> None:
    (predictions,) = evaluator.predictions(Enrolment(0), [0])
    assert predictions.logits[:, 0].tolist() == [len(evaluator.frames[i]) for i in evaluator.scored]
    assert [UNSEEN_LABELS[t] for t in predictions.targets] == [
        evaluator.corpus.utterances[i].label for i in evaluator.scored
    ]


def test_a_gain_is_paired_over_speakers() -> None:
    """Two models that err alike on each speaker differ for sure, however much speakers differ."""
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 5, 600)
    wrong = np.arange(600) % 6 * 15 > rng.integers(0, 100, 600)  # by speaker
    logits = np.eye(5)[np.where(wrong, (targets + 1) % 5, targets)]
    better = np.where((rng.random(600) < 0.1)[:, None], np.eye(5)[targets], logits)
    first = predictions_of(targets.tolist(), better)
    before = predictions_of(targets.tolist(), logits)
    gain = ua_gain([first], [before])
    assert gain.value == pytest.approx(ua_interval([first]).value - ua_interval([before]).value)
    assert 0 < gain.low < gain.value < gain.high
    spread = ua_interval([first])
    assert gain.high - gain.low < (spread.high - spread.low) / 2
    assert ua_gain([first], [first]) == Estimate(0.0, 0.0, 0.0)


def test_a_gain_is_of_the_same_utterances_and_of_classes_that_both_know() -> None:
    targets = [0, 1, 2, 3, 4] * 12
    right, wrong = np.eye(5)[targets], np.eye(5)[np.roll(targets, 1)]
    here, there = (replace(predictions_of(targets, right), corpus=name) for name in "xy")
    worse = replace(predictions_of(targets, wrong), corpus="y")
    assert ua_gain([here, there], [worse, here]) == ua_gain([here, there], [here, worse])
    assert ua_gain([here, there], [worse, here]).value == pytest.approx(0.5)

    four = [k for k in range(5) if k != 1]
    kept = [i for i, k in enumerate(targets) if k != 1]
    without_fearful = Predictions(
        "x",
        tuple(UNSEEN_LABELS[k] for k in four),
        np.eye(4)[np.searchsorted(four, np.array(targets)[kept])],
        np.searchsorted(four, np.array(targets)[kept]),
        tuple(here.speakers[i] for i in kept),
    )
    fearful_too = replace(here, logits=right + 5 * np.eye(5)[1])  # fearful wins among five
    assert ua_gain([fearful_too], [without_fearful]) == Estimate(0.0, 0.0, 0.0)

    for other in (
        worse,
        predictions_of([0, 1, 2, 4, 3] * 12, right),
        predictions_of(targets[:30], wrong[:30]),
    ):
        with pytest.raises(UserError, match="have not scored the same utterances"):
            ua_gain([here], [other])


def test_a_baseline_changes_what_is_heard_and_chance_is_repeatable(
    evaluator: CorpusEvaluator,
) -> None:
    (alone,) = evaluator.predictions(Enrolment(0), [0])
    one, other, again = evaluator.predictions(Enrolment(3, "any"), [1, 2, 1])
    assert (one.logits[:, 1] != alone.logits[:, 1]).mean() > 0.9
    assert (one.logits[:, 1] != other.logits[:, 1]).mean() > 0.9
    np.testing.assert_array_equal(one.logits, again.logits)


@pytest.mark.parametrize("enrolment", ENROLMENTS, ids=lambda enrolment: enrolment.name)
def test_every_enrolment_chooses_other_utterances_of_its_kind(
    evaluator: CorpusEvaluator, enrolment: Enrolment
) -> None:
    rng = np.random.default_rng(0)
    speaker = [i for i, u in enumerate(evaluator.corpus.utterances) if u.speaker == "03"]
    every = [u.label for u in evaluator.corpus.utterances]
    some = chosen(speaker[1:], every, enrolment, rng)
    assert len(set(some)) == len(some)
    assert set(some) <= set(speaker[1:])
    labels = [every[i] for i in some]
    if not enrolment.utterances:
        return
    calm = labels.count("neutral")
    assert len(some) <= enrolment.utterances
    if enrolment.kind == "neutral":
        assert calm == len(some)
    if enrolment.kind == "one emotion":
        assert len(set(labels)) <= 1
    if enrolment.kind == "mostly neutral" and enrolment.utterances:
        assert calm >= min(round(0.7 * enrolment.utterances), 4)


def test_of_two_people_both_are_heard_in_turn_and_of_another_person_nobody_else(
    evaluator: CorpusEvaluator,
) -> None:
    utterances = evaluator.corpus.utterances

    def speakers(enrolment: Enrolment) -> list[list[str]]:
        drawn = list(enrolled_for(evaluator.corpus, enrolment, 0))
        assert all(i not in some and len(set(some)) == len(some) for i, some in enumerate(drawn))
        return [[utterances[k].speaker for k in some] for some in drawn]

    companions = {}
    for u, some in zip(utterances, speakers(Enrolment(4, "another person")), strict=True):
        assert len(some) == 4
        (companions[u.speaker],) = set(some)
    for mixed in (Enrolment(4, "two people"), Enrolment(0, "earlier of two people")):
        for u, some in zip(utterances, speakers(mixed), strict=True):
            turns = [companions[u.speaker], u.speaker]
            both = min(some.count(speaker) for speaker in turns)
            assert some[: 2 * both] == turns * both
            assert set(some) <= set(turns)
    own = [some.count(u.speaker) for u, some in zip(utterances, speakers(mixed), strict=True)]
    alone = [len(some) for some in enrolled_for(evaluator.corpus, EARLIER, 0)]
    assert own == alone


def test_a_single_speaker_has_no_companion(evaluator: CorpusEvaluator) -> None:
    one = tuple(u for u in evaluator.corpus.utterances if u.speaker == "03")
    corpus = replace(evaluator.corpus, utterances=one)
    assert not any(enrolled_for(corpus, Enrolment(4, "another person"), 0))
    assert all(len(some) == 2 for some in enrolled_for(corpus, Enrolment(4, "two people"), 0))


def test_the_page_has_a_row_for_every_step_and_corpus(evaluator: CorpusEvaluator) -> None:
    rows = [
        enrolment_row(enrolment.name, [evaluator.predictions(enrolment, range(2))], [(1.0, 0.3)])
        for enrolment in ENROLMENTS[:3]
    ]
    page = markdown(Document(rows=rows, model="m", command="c", orders=2))
    assert page.count("| nothing |") == 2
    assert page.count("1, of any emotion") == 2
    assert "## emodb" in page


def test_what_a_model_scores_on_corpora_it_never_met_stands_beside_its_file(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    shutil.copy(model_path("voices6"), model)
    sha256 = load_model("voices6").ref.sha256
    assert read_unseen(model, sha256) is None
    words = [str(model), "--corpus", f"manifest={make_manifest(tmp_path / 'other')}", "--orders"]
    labels = ["--labels", "angry,happy,neutral,sad", "--card", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["unseen", *words, "1", *labels])
    assert done.exit_code == 0, done.output
    unseen = read_unseen(model, sha256)
    assert unseen is not None
    assert unseen.corpora == ["mine"]
    told = json.loads((tmp_path / "out" / "unseen.json").read_text())
    assert [row.known for row in unseen.rows] == [row["known"] for row in told["rows"]]
    assert unseen.rows[0].ua4.value == told["rows"][0]["ua4"]["value"]

    assert read_unseen(model, "of another file") is None
    unseen_file(model).write_text("{")
    with pytest.raises(
        ArtefactError,
        match=r"model.unseen.json: not the figures of a model: "
        ".*--card",
    ):
        read_unseen(model, sha256)

    run = CliRunner().invoke(main, ["unseen", str(tmp_path), *words[1:], "1", *labels])
    assert run.exit_code == 2
    assert "--card: a run has no artefact" in run.output


def test_a_figure_that_no_corpus_has_is_none_on_the_card() -> None:
    targets = [0, 1] * 8  # angry and fearful alone: nothing of low arousal
    rows = [enrolment_row("nothing", [[predictions_of(targets, np.eye(5)[targets])]], [(1.0, 0.0)])]
    (row,) = record(Document(rows=rows, model="m", command="c", orders=1), "0").rows
    assert (row.arousal_auc, row.ua.value) == (None, 1.0)
    assert np.isnan(rows[0].mean.arousal_ua)


def test_folds_of_speakers_are_pooled(tiny_run: Path, emodb: Path, tmp_path: Path) -> None:
    words = [str(tiny_run / "loso"), "--corpus", f"emodb={emodb}", "--orders", "1"]
    labels = ["--labels", "angry,happy,neutral,sad"]
    done = CliRunner().invoke(main, ["unseen", *words, *labels, "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "unseen.json").read_text())
    (corpus,) = told["rows"][0]["corpora"]
    report = json.loads((tiny_run / "loso" / "report" / "report.json").read_text())
    assert (corpus["utterances"], corpus["speakers"]) == (len(report["answers"]), 2)
    assert corpus["figures"]["ua"] == pytest.approx(report["ua"]["value"])
    other = make_manifest(tmp_path / "other")
    words[2] = f"manifest={other}"
    assert "holds out no speakers of mine" in refused(*words, *labels, "-o", tmp_path)


def refused(*words: object) -> str:
    """The error of a command that is refused before anything was scored."""
    done = CliRunner().invoke(main, ["unseen", *map(str, words)])
    assert done.exit_code == 2, done.output
    assert len(done.output.splitlines()) == 1
    return done.output


def test_mistakes_are_told_before_the_first_row(tmp_path: Path) -> None:
    mine = f"manifest={make_manifest(tmp_path / 'a')}"
    words = ["voices6", "--corpus", mine, "--orders", "1", "-o"]
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(*words, tmp_path / "file" / "out")
    words += [str(tmp_path / "out")]
    assert "--beside: model 'voices7'" in refused(*words, "--beside", "voices7")
    told = refused(*words, "--beside", tmp_path)
    assert f"--beside: run {tmp_path}: holds no folds" in told
    again = f"manifest={make_manifest(tmp_path / 'b')}"
    assert "its recordings are given already, as mine" in refused(*words, "--corpus", again)
    assert not (tmp_path / "out" / "unseen.json").exists()


def test_what_the_other_model_has_learnt_from_is_told_before_the_first_row(
    emodb: Path, tiny_run: Path, tmp_path: Path
) -> None:
    words = [tiny_run / "loso", "--corpus", f"emodb={emodb}", "-o", tmp_path]
    told = refused(*words, "--beside", "voices6")
    assert "--beside: --corpus emodb: model voices6 has learnt from it" in told


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


def test_two_names_of_the_same_recordings_are_refused(evaluator: CorpusEvaluator) -> None:
    with pytest.raises(UserError, match="emodb7: its recordings are given already, as emodb"):
        check_corpora([evaluator.corpus, replace(evaluator.corpus, name="emodb7")])


def test_a_run_takes_the_corpora_of_its_folds_alone(
    emodb: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = make_manifest(tmp_path / "mine")
    loco = tmp_path / "loco"
    shutil.copytree(tiny_run / "loso", loco)
    for name, corpus in (("03", "emodb"), ("08", "mine")):
        path = loco / f"{name}.json"
        path.write_text(path.read_text().replace(f'"fold":"{name}"', f'"fold":"{corpus}"'))
    other = tmp_path / "other.csv"
    other.write_text(mine.read_text().replace("\n", "\nmine/").removesuffix("mine/"))
    words = [loco, "-o", tmp_path / "out", "--corpus", f"emodb={emodb}", "--corpus"]
    told = refused(*words, f"manifest={mine}", "--corpus", f"manifest={other}")
    assert f"--corpus other: run {loco} has no fold of that name; it has emodb, mine" in told
    assert "it holds out mine; give that corpus, too" in refused(*words[:-1])
    whole = ["unseen", *map(str, words), f"manifest={mine}"]
    with monkeypatch.context() as patch:  # Ctrl-C between the fit and the figures
        patch.setattr(unseen_rows, "rows_of", stopped)
        assert "edgeser: stopped; no figures were kept" in CliRunner().invoke(main, whole).output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["strangers.json"]
    done = CliRunner().invoke(main, whole)
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "strangers.json",
        "unseen.json",
        "unseen.md",
    }


def test_every_row_that_two_models_share_has_a_gain(tmp_path: Path) -> None:
    words = ["unseen", "streaming6", "--corpus", f"manifest={make_manifest(tmp_path / 'other')}"]
    words += ["--labels", "angry,happy,neutral,sad", "--orders", "1", "--beside", "voices6"]
    done = CliRunner().invoke(main, [*words, "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "left out" not in done.output
    told = json.loads((tmp_path / "out" / "unseen.json").read_text())
    known = [row["known"] for row in told["rows"]]
    assert [gain["known"] for gain in told["gains"]] == known
    assert told["beside"] == "voices6"


def test_what_is_stopped_says_that_no_figures_were_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = make_manifest(tmp_path / "mine")
    words = ["unseen", "voices6", "--corpus", f"manifest={mine}", "-o", str(tmp_path / "out")]
    for error, told in (
        (KeyboardInterrupt, "edgeser: stopped; no figures were kept"),
        (MemoryError, "out of memory; give fewer corpora; no figures were kept"),
    ):

        def fails(*_: object, why: type[BaseException] = error) -> None:
            raise why

        monkeypatch.setattr(CorpusEvaluator, "predictions", fails)
        assert told in CliRunner().invoke(main, words).output
    assert not list((tmp_path / "out").iterdir())


def test_voices_are_scored_in_other_conditions_as_they_are_known_there(tmp_path: Path) -> None:
    words = ["unseen", "voices6", "--corpus", f"manifest={make_manifest(tmp_path / 'other')}"]
    words += ["--labels", "angry,happy,neutral,sad", "--orders", "1", "--robustness"]
    done = CliRunner().invoke(main, [*words, "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "unseen.json").read_text())
    rows = {(row["condition"], row["metrics"]["known"]): row for row in told["conditions"]}
    assert set(rows) == {
        (condition, known)
        for condition in ROBUSTNESS
        for known in ("nothing", "10, mostly neutral")
    }
    for row in told["rows"]:
        if row["known"] in ("nothing", "10, mostly neutral"):
            assert rows["clean", row["known"]]["metrics"] == row
    assert "| small room | nothing |" in (tmp_path / "unseen.md").read_text()


def test_a_condition_changes_what_is_heard_and_known(evaluator: CorpusEvaluator) -> None:
    noisy = evaluator.under("noise 5 dB SNR")
    assert noisy.scored == evaluator.scored
    assert all(
        (there.mean > before.mean).mean() > 0.5
        for there, before in zip(noisy.spectra, evaluator.spectra, strict=True)
    )
