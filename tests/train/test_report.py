"""A report says what was done, for every model, protocol and number of seeds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeser.errors import UserError
from edgeser.model.decision import softmax
from edgeser_train import metrics
from edgeser_train.data.lineage import Heard
from edgeser_train.evaluation.calibration import cross_fitted
from edgeser_train.evaluation.evaluation import FORMAT, Evaluation
from edgeser_train.evaluation.evaluation_files import find_report
from edgeser_train.evaluation.evaluation_files import read as read_as
from edgeser_train.evaluation.folds import Plan
from edgeser_train.evaluation.report import Report, report_of
from edgeser_train.evaluation.report_files import read, write
from edgeser_train.evaluation.report_text import markdown
from edgeser_train.training.checkpoint import Origin
from edgeser_train.training.initial_weights import InitialWeights
from edgeser_train.training.recipes import recipe_of
from edgeser_train.training.teacher import Teacher
from tests.train.predictions import LABELS, plan, results

PER_UTTERANCE = ("utterances", "speakers", "corpora")


def made(**options: object) -> Report:
    p = plan(**options)  # type: ignore[arg-type]
    return report_of(p, results(p), "edgeser evaluate ...")


def test_figures_pool_the_folds() -> None:
    p = plan(speakers=6)
    folds = results(p)
    r = report_of(p, folds, "edgeser evaluate ...")
    targets = np.concatenate([f.targets for f in folds])
    said = np.concatenate([np.argmax(f.logits[0], axis=1) for f in folds])
    counts = metrics.confusion(targets, said, 4)
    assert r.confusion == counts.tolist()
    assert r.wa.value == pytest.approx(metrics.wa(counts))
    assert r.ua.value == pytest.approx(metrics.ua(counts))
    assert r.f1.value == pytest.approx(metrics.f1(counts))
    assert [f.fold for f in r.folds] == [f.fold for f in folds]
    assert (r.utterances, r.speakers, r.model) == (72, 6, "lightweight")
    assert r.by_speaker is not None
    heard = np.concatenate([np.argmax(f.logits[1], axis=1) for f in folds])
    assert [c.condition for c in r.conditions] == ["clean", "gain -20 dB"]
    assert r.conditions[0].changed == 0
    assert r.conditions[1].changed == pytest.approx((heard != said).mean())
    assert [(a.utterance, a.target, a.predicted) for a in r.answers] == [
        (name, target, [label])
        for name, target, label in zip(
            [u for f in folds for u in f.utterances], targets, said.tolist(), strict=True
        )
    ]


def test_calibration_is_cross_fitted_by_fold_with_all_seeds() -> None:
    p = plan(seeds=(1, 2))
    folds = results(p)
    r = report_of(p, folds, "")
    assert r.calibrated_on == "the other folds"
    logits = np.concatenate([f.logits[0] for f in folds])
    targets = np.concatenate([f.targets for f in folds])
    groups = np.concatenate([[int(f.fold)] * len(f.targets) for f in folds])
    scores = cross_fitted(logits, targets, groups)
    assert r.ece_after == pytest.approx(metrics.ece(scores, targets))
    assert r.ece_before == pytest.approx(metrics.ece(softmax(logits), targets))


def test_one_fold_is_calibrated_by_speaker() -> None:
    p = plan(speakers=3)
    folds = results(p)
    one = msgspec.structs.replace(
        folds[0],
        utterances=[u for f in folds for u in f.utterances],
        speakers=[s for f in folds for s in f.speakers],
        corpora=[c for f in folds for c in f.corpora],
        targets=[t for f in folds for t in f.targets],
        logits=[[row for f in folds for row in f.logits[c]] for c in range(2)],
    )
    assert report_of(p, [one], "").calibrated_on == "the other speakers"
    lonely = report_of(p, folds[:1], "")
    assert lonely.calibrated_on == "the same answers"
    assert lonely.by_speaker is None
    assert "too few speakers" in markdown(lonely, has_choice=False)


def test_seeds_are_averaged_and_their_spread_told() -> None:
    r = made(seeds=(1, 2, 5))
    assert [s.seed for s in r.by_seed] == [1, 2, 5]
    assert r.wa.value == pytest.approx(np.mean([s.wa for s in r.by_seed]))
    assert r.ua.value == pytest.approx(np.mean([s.ua for s in r.by_seed]))
    assert np.sum(r.confusion) == 3 * r.utterances
    assert all(len(a.predicted) == len(a.confidence) == 3 for a in r.answers)
    text = markdown(r, has_choice=False)
    assert "| standard deviation |" in text
    assert "means over the seeds" in text


def test_an_utterance_of_several_folds_counts_once_as_a_unit() -> None:
    r = made(speakers=6, each=40, protocol="zhong10")
    assert len(r.answers) == 9 * r.utterances
    assert r.calibrated_on == "the other speakers"
    assert f"in several folds: {len(r.answers)} answers" in markdown(r, has_choice=False)


def test_folds_that_were_left_out_are_told() -> None:
    p = plan()
    r = report_of(p, results(p)[:3], "")
    assert r.folds_left_out == ["03"]
    assert "**Only 3 of 4 folds** were evaluated; without 03." in markdown(r, has_choice=False)
    assert made().folds_left_out == []


def test_teachers_are_named() -> None:
    p = dataclasses.replace(plan(), teacher=Teacher((Path("/runs/big"), Path("/runs/wide"))))
    r = report_of(p, results(p), "")
    assert "answers of big, wide, too" in markdown(r, has_choice=False)
    assert "/runs" not in markdown(r, has_choice=False)


def origin(p: Plan, commit: str = "abc", heard: Heard | None = None) -> Origin:
    return Origin(
        labels=list(LABELS),
        recipe=p.recipe,
        corpora=["emodb"],
        licence="CC0-1.0",
        protocol="loso",
        trained_on=[],
        seed=1,
        date="2026-01-02",
        commit=commit,
        heard=heard,
    )


def test_the_code_that_trained_is_told_apart_from_the_one_that_writes() -> None:
    p = plan()
    origins = [origin(p), origin(p, "def+"), origin(p), None]
    r = report_of(p, results(p), "", origins)
    assert [(t.commit, t.date, t.models) for t in r.trained] == [
        ("unknown", "", 1),
        ("abc", "2026-01-02", 2),
        ("def+", "2026-01-02", 1),
    ]
    text = markdown(r, has_choice=False)
    assert "commit abc, 2026-01-02 (2 of 4), commit def+, 2026-01-02 (1 of 4)." in text
    assert f"Report written at: commit {r.commit}, {r.date}, on " in text
    alone = report_of(p, results(p), "", [origin(p)] * 4)
    assert "Folds trained at: commit abc, 2026-01-02." in markdown(alone, has_choice=False)
    assert "Folds trained at: not known." in markdown(made(), has_choice=False)


def test_new_speakers_are_claimed_only_of_ancestors_that_say_whom_they_heard() -> None:
    p = dataclasses.replace(plan(), start=InitialWeights(Path("/runs/first/model.pt")))
    known, doubtful = Heard(["emodb:09"], []), Heard(["emodb:09"], [], known=False)
    r = report_of(p, results(p), "", [origin(p, heard=known)] * 4)
    assert (r.started_from, r.ancestors_known, r.speaker_independent) == (
        "first/model.pt",
        True,
        True,
    )
    text = markdown(r, has_choice=False)
    assert "Speaker-independent: no speaker" in text
    assert "Training started from the weights of first/model.pt." in text
    for heard in (doubtful, None):
        r = report_of(p, results(p), "", [origin(p, heard=known)] * 3 + [origin(p, heard=heard)])
        assert (r.ancestors_known, r.speaker_independent) == (False, False)
        text = markdown(r, has_choice=False)
        assert "**Started from a model whose speakers are not known**" in text
        assert "Speaker-independent" not in text
    taught = dataclasses.replace(p, teacher=Teacher((Path("/runs/big"),)))
    text = markdown(report_of(taught, results(p), ""), has_choice=False)
    assert "**Started from and taught by a model whose speakers are not known**" in text


def test_a_temperature_at_its_bound_is_told() -> None:
    p = plan()
    perfect = [
        msgspec.structs.replace(f, logits=[np.eye(4)[f.targets].tolist()] * 2) for f in results(p)
    ]
    assert "the bound of what is searched" in markdown(report_of(p, perfect, ""), has_choice=False)
    assert "the bound of what is searched" not in markdown(made(), has_choice=False)


def test_seeds_that_scored_different_folds_are_a_bug() -> None:
    p = plan(seeds=(1, 2))
    with pytest.raises(ValueError, match="the seeds have not scored the same"):
        report_of(p, results(p)[:-1], "")


def test_several_corpora_have_figures_of_their_own() -> None:
    r = made(corpora=("emodb", "ravdess4"))
    assert [(c.corpus, c.utterances, c.speakers) for c in r.by_corpus] == [
        ("emodb", 24, 2),
        ("ravdess4", 24, 2),
    ]
    pooled = np.mean([c.wa.value for c in r.by_corpus])
    assert r.wa.value == pytest.approx(pooled)
    assert "## Corpora" in markdown(r, has_choice=False)
    assert "## Corpora" not in markdown(made(), has_choice=False)


def test_the_text_says_what_the_checkpoint_was_chosen_on() -> None:
    last = markdown(made(), has_choice=True)
    assert "last epoch, out of a number fixed beforehand (12)" in last
    assert "[choice.md](choice.md)" in last
    watched = markdown(made(protocol="loso_val", patience=5), has_choice=False)
    epochs = [c.chosen_epoch for c in made(protocol="loso_val", patience=5).curves]
    told = f"best UA on its validation part (epochs {min(epochs)} to {max(epochs)})"
    assert f"{told}; the part that is scored had no say." in watched
    assert "choice.md" not in watched
    flattered = markdown(made(protocol="loso_val", patience=5, part="validation"), has_choice=False)
    assert "the figures flatter" in flattered


def test_the_text_says_whether_speakers_are_new() -> None:
    assert "Speaker-independent: no speaker" in markdown(made(), has_choice=False)
    assert "**Speaker-dependent**" in markdown(made(protocol="random_kfold"), has_choice=False)


@pytest.mark.parametrize("model", ["eca-cnn", "attention-pooling"])
def test_it_is_of_the_model_of_the_recipe(model: str) -> None:
    p = dataclasses.replace(plan(), recipe=recipe_of(model))
    r = report_of(p, results(p), "")
    text = markdown(r, has_choice=False)
    assert text.startswith(f"# {model} on emodb: loso, test part")
    assert "lightweight" not in text
    assert r.parameters != made().parameters


def test_the_text_says_when_no_prediction_reaches_the_threshold() -> None:
    silent = msgspec.structs.replace(made(), answered=0.0, answered_wa=0.0)
    assert "It then gives none of its answers." in markdown(silent, has_choice=False)


def test_a_label_that_a_fold_lacks_is_told() -> None:
    p = plan()
    first, *others = results(p)
    kept = [i for i, target in enumerate(first.targets) if target != LABELS.index("sad")]
    without = msgspec.structs.replace(
        first,
        targets=[first.targets[i] for i in kept],
        logits=[[rows[i] for i in kept] for rows in first.logits],
        **{name: [getattr(first, name)[i] for i in kept] for name in PER_UTTERANCE},
    )
    r = report_of(p, [without, *others], "")
    assert r.folds[0].lacking == ["sad"]
    assert "no sad in 00" in markdown(r, has_choice=False)


def test_files_are_read_back(tmp_path: Path) -> None:
    r = made(seeds=(1, 2), protocol="loso_val", patience=5)
    write(r, tmp_path / "run" / "report")
    assert read(tmp_path / "run" / "report" / "report.json") == r
    for folder in (tmp_path / "run", tmp_path / "run" / "report"):
        assert read_as(find_report(folder), Evaluation).answers == r.answers
    for picture in ("confusion.png", "curves.png"):
        assert (tmp_path / "run" / "report" / picture).read_bytes().startswith(b"\x89PNG")
    lines = (tmp_path / "run" / "report" / "report.json").read_text().splitlines()
    (answers,) = (line for line in lines if line.startswith('"answers"'))
    assert len(answers) < 60 * r.utterances


def test_no_other_file_is_taken_for_a_report(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write(made(), tmp_path)
    tree = msgspec.json.decode(path.read_bytes())
    for content, said in [
        (b"{", "not a report"),
        (b'{"format": 2}', "not a report"),
        (msgspec.json.encode({**tree, "format": FORMAT + 1}), f"of format {FORMAT + 1}"),
        (msgspec.json.encode({k: v for k, v in tree.items() if k != "format"}), "of format 1"),
    ]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=said):
            read(path)
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "none.json")


def test_labels_are_those_of_the_corpus() -> None:
    assert made().labels == list(LABELS)
