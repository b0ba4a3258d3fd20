"""``edgeser train`` and ``edgeser evaluate`` from end to end, on a tiny corpus."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgeser_train.evaluation import folds as folds_module
from edgeser_train.evaluation.report_files import read as read_report
from edgeser_train.training import checkpoint
from edgeser_train.training import fold as fold_module
from edgeser_train.training import precision as precision_module
from edgeser_train.training.training import Trained, train
from tests.command_line import edgeser
from tests.train.synthetic import make_emodb, make_manifest, tiny_settings


def test_an_evaluation_killed_between_folds_goes_on(
    common: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def killed_at_the_second(*what: Any, **how: Any) -> Trained:
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(what[1].name)
        return train(*what, **how)

    monkeypatch.setattr(fold_module, "train", killed_at_the_second)
    two = ("--folds", "08,16")
    done = edgeser("evaluate", *common, *two)
    assert done.exit_code == 130
    assert "stopped; the same command continues" in done.output
    assert trained == ["08"]
    assert not (tmp_path / "run" / "report").exists()
    kept = (tmp_path / "run" / "08.json").read_bytes()

    trained.clear()
    done = edgeser("evaluate", *common, *two)
    assert done.exit_code == 0, done.output
    assert trained == ["16"]
    assert (tmp_path / "run" / "08.json").read_bytes() == kept

    other = edgeser("evaluate", *common, *two, "--data-seed", 2)
    assert other.exit_code == 2
    assert "holds folds of another recipe" in other.output


def test_an_evaluation_goes_on_in_the_precision_that_it_began_in(
    common: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``auto`` is another one on another processor."""
    run = tmp_path / "run"
    auto = ("evaluate", *common, "--set", "precision=auto", "--folds")
    processor = "flags : fpu avx2"
    monkeypatch.setattr(precision_module, "_cpuinfo", lambda: processor)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    assert edgeser(*auto, "08").exit_code == 0
    assert json.loads((run / "report" / "report.json").read_text())["precision"] == "fp32"
    assert ", in fp32. Report written" in (run / "report" / "report.md").read_text()
    origin = checkpoint.load_origin(run / "08.pt")
    assert (origin.precision, origin.recipe.precision) == ("fp32", "auto")
    with monkeypatch.context() as patch:
        patch.setattr(folds_module, "utterance_logits", killed)
        assert edgeser(*auto, "16").exit_code == 130

    processor = "flags : fpu avx512_bf16"
    told = "was trained in fp32, this machine would continue in bf16"
    for what, words in (("fold 08", "08,16"), ("unfinished", "16")):
        done = edgeser(*auto, words)
        assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
        assert told in done.output
        assert what in done.output
    assert edgeser(*auto, "08").exit_code == 0  # there is nothing left to train

    for path in (run / "08.json", run / "report" / "report.json"):  # of an earlier version
        older = json.loads(path.read_text())
        del older["precision"]
        path.write_text(json.dumps(older))
    (work,) = (run / "unfinished").iterdir()
    work.rename(work.with_suffix(""))
    assert read_report(run / "report" / "report.json").precision == ""
    assert edgeser(*auto, "08,16").exit_code == 0
    assert json.loads((run / "report" / "report.json").read_text())["precision"] == ""


def test_the_report_tells_all(tiny_run: Path) -> None:
    folder = tiny_run / "loso" / "report"
    report = json.loads((folder / "report.json").read_text())
    assert [row["fold"] for row in report["folds"]] == ["03", "08"]
    assert [row["speakers"] for row in report["folds"]] == [["03"], ["08"]]
    assert sum(map(sum, report["confusion"])) == sum(row["utterances"] for row in report["folds"])
    assert report["wa"]["low"] <= report["wa"]["value"] <= report["wa"]["high"]
    heard = [row["condition"] for row in report["conditions"]]
    assert heard == ["clean", "gain -20 dB", "gain -10 dB", "gain +10 dB"]
    assert report["conditions"][0]["changed"] == 0
    assert len(report["folds_left_out"]) == 8
    text = (folder / "report.md").read_text()
    for part in (
        "| WA (accuracy) |",
        "## Listening conditions",
        "## Folds",
        "## Confidence",
        "loso",
    ):
        assert part in text
    for name in ("confusion.png", "curves.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_a_model_that_is_finished_is_neither_trained_anew_nor_replaced(
    emodb: Path, cache: Path, tiny_run: Path, tmp_path: Path
) -> None:
    weights = tiny_run / "model.pt"
    kept = weights.read_bytes()
    words = ("train", "--corpus", f"emodb={emodb}", "--cache", cache, *tiny_settings())
    again = edgeser(*words, "-o", tiny_run)
    assert again.exit_code == 0, again.output
    assert "trained already; remove it to train it again" in again.output
    for other in (("--set", "epochs=3"), ("--seed", 2), ("--data-seed", 2)):
        done = edgeser(*words, *other, "-o", tiny_run)
        assert done.exit_code == 2
        assert "of another training" in done.output
    assert weights.read_bytes() == kept
    assert not (tiny_run / "unfinished").exists()

    (tmp_path / "model.pt").write_text("no checkpoint")
    done = edgeser(*words, "-o", tmp_path)
    assert done.exit_code == 2
    assert "not a checkpoint" in done.output
    assert (tmp_path / "model.pt").read_text() == "no checkpoint"


def test_two_processes_score_the_validation_part(
    common: tuple[object, ...], tmp_path: Path
) -> None:
    words = ("--protocol", "loso_val", "--part", "validation", "--folds", "03,16", "--jobs", 2)
    done = edgeser("evaluate", *common, *words)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    assert [row["speakers"] for row in report["folds"]] == [["08"], ["03"]]


def test_train_writes_a_checkpoint_and_its_curves(tiny_run: Path) -> None:
    assert sorted(path.name for path in tiny_run.iterdir()) == ["logs", "loso", "model.pt"]
    curves = tiny_run / "logs" / "version_0"
    rows = (curves / "metrics.csv").read_text().splitlines()
    assert "training_loss" in rows[0]
    assert len(rows) == 3
    assert list(curves.glob("events.out.tfevents.*"))


def test_seeds_of_weights_train_every_fold_once_each(
    common: tuple[object, ...], tmp_path: Path
) -> None:
    done = edgeser("evaluate", *common, "--folds", "08", "--seeds", "1,2")
    assert done.exit_code == 0, done.output
    assert re.findall("fold 08, seed ([12]): ", done.output) == ["1", "2"]
    run = tmp_path / "run"
    one, two = (json.loads((run / f"08-seed{n}.json").read_text()) for n in (1, 2))
    assert one["utterances"] == two["utterances"]
    assert one["logits"] != two["logits"]
    assert not (run / "unfinished").exists()
    report = json.loads((run / "report" / "report.json").read_text())
    assert report["seeds"] == [1, 2]


def test_a_fold_of_one_seed_is_found_among_several(
    common: tuple[object, ...], tmp_path: Path
) -> None:
    fold = ("--folds", "08")
    assert edgeser("evaluate", *common, *fold).exit_code == 0
    done = edgeser("evaluate", *common, *fold, "--seeds", "1,2")
    assert done.exit_code == 0, done.output
    assert done.output.count("(kept)") == 1
    assert sorted(path.name for path in (tmp_path / "run").glob("*.pt")) == ["08-seed2.pt", "08.pt"]
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    assert (report["seeds"], [t["models"] for t in report["trained"]]) == ([1, 2], [2])
    assert edgeser("evaluate", *common, *fold, "--seeds", "2").output.count("(kept)") == 1
    done = edgeser("evaluate", *common, *fold, "--seeds", "3")
    assert "holds folds of another recipe, corpus, protocol or seed" in done.output


def test_a_fold_of_another_sound_is_not_kept(cache: Path, tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "mine")
    where = ("--corpus", f"manifest={manifest}", "--cache", cache, "-o", tmp_path / "run")
    words = (*where, *tiny_settings(), "--folds", "a")
    assert edgeser("evaluate", *words).exit_code == 0
    kept = tmp_path / "run" / "a.json"
    (manifest.parent / "0.wav").write_bytes((manifest.parent / "1.wav").read_bytes())
    done = edgeser("evaluate", *words)
    assert done.exit_code == 2
    assert "the sound of mine has changed since fold a was trained" in done.output
    assert len(done.output.splitlines()) == 1
    older = {
        name: value for name, value in json.loads(kept.read_text()).items() if name != "sounds"
    }
    kept.write_text(json.dumps(older))
    assert edgeser("evaluate", *words).exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--protocol", "kfold"), "no protocol 'kfold'"),
        (("--protocol", "loso"), "choose one with --fold: 1 03, 2 08, 3 09"),
        (("--protocol", "loso", "--fold", "99"), "fold '99'"),
        (("--set", "batch=none"), "bad recipe"),
        (("--set", "model.labels=7"), "the corpus has 4"),
        (("--labels", "angry,wary"), "no corpus has a class 'wary'; there is angry, happy, neu"),
        (("--labels", "sad,neutral=neutral+clam"), "+clam: no corpus has a class 'clam'; there is"),
        (("--labels", "angry,bored"), "no utterance of emodb is bored; there is angry, happy, neu"),
        (("--recipe", "tuned"), "lightweight has edgeser, paper"),
        (("--set", "patience=3"), "needs a validation part"),
        (("--seed", "20260101120000"), "is not in the range 0<=x<=4294967295"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    common: tuple[object, ...], tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = edgeser("train", *common, *words)
    assert done.exit_code == 2
    assert said in done.output
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_evaluated_is_one_line(common: tuple[object, ...], tmp_path: Path) -> None:
    for words, said in [
        (("--protocol", "full"), "no test part to score"),
        (("--part", "validation"), "no validation part to score"),
        (("--folds", "03,77"), "fold '77'"),
        (("--seeds", "1,x"), "--seeds 1,x"),
        (("--seeds", "1,20260101120000"), "different numbers from 0 to 4294967295"),
    ]:
        for dry_run in ((), ("--dry-run",)):
            done = edgeser("evaluate", *common, *words, *dry_run)
            assert done.exit_code == 2, done.output
            assert said in done.output
    assert not (tmp_path / "run").exists()


def test_a_recording_in_two_lists_neither_trains_nor_tests(cache: Path, tmp_path: Path) -> None:
    mine = make_manifest(tmp_path / "mine")
    theirs = mine.with_name("theirs.csv")
    theirs.write_text(mine.read_text().replace(",a,", ",hans,"))
    lists = ("--corpus", f"manifest={mine}", "--corpus", f"manifest={theirs}")
    words = (*lists, "--cache", cache, *tiny_settings(), "-o", tmp_path / "run")
    for command, protocol in (
        (("evaluate",), "loso"),
        (("evaluate",), "loco"),
        (("train", "--fold", "1"), "cross"),
    ):
        done = edgeser(*command, "--protocol", protocol, *words)
        assert done.exit_code == 2, done.output
        told = done.output.splitlines()[-1]
        assert f"{mine.parent / '0.wav'} of speaker mine:a" in told
        assert "of speaker theirs:hans" in told
    assert not (tmp_path / "run").exists()


def test_a_dry_run_says_what_would_be_trained(
    common: tuple[object, ...], tiny_run: Path, tmp_path: Path
) -> None:
    done = edgeser("evaluate", *common, "--protocol", "loso", "--folds", "2,03", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "lightweight, " in done.output
    assert "339 utterances of 10 speakers (angry 127, happy 71, neutral 79, sad 62)" in done.output
    assert "seed 1; 2 trainings" in done.output
    # By number and by name.
    assert re.findall(r"fold \d +(\d\d): \d+ train, (\d+) test", done.output) == [
        ("08", "42"),
        ("03", "39"),
    ]
    assert not (tmp_path / "run").exists()
    done = edgeser("train", *common, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "full: 339 train, 0 test" in done.output
    done = edgeser("train", *common, "--dry-run", "--set", "loss.name=ctc")
    assert done.exit_code == 2
    assert "loss ctc: Lightweight cannot be trained with it" in done.output
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_is_no_model_and_a_folder_no_checkpoint(
    tiny_run: Path, tmp_path: Path
) -> None:
    weights = tiny_run / "model.pt"
    done = edgeser("predict", "--model", weights, tmp_path)
    assert done.exit_code == 2
    assert f"model {weights}: a checkpoint, not an exported model" in done.output
    done = edgeser("export", tiny_run, "-o", tmp_path / "q.onnx")
    assert done.exit_code == 2
    assert f"checkpoint {tiny_run}: a folder; give {weights}" in done.output


def test_an_exported_model_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08")
    done = edgeser("export", tmp_path / "m.onnx", "-o", tmp_path / "other.onnx")
    assert done.exit_code == 2
    assert "m.onnx is an artefact already" in done.output


def test_an_incomplete_corpus_is_one_line(tmp_path: Path) -> None:
    folder = make_emodb(tmp_path / "corpus", ["03a01Fa"])
    done = edgeser("train", "--corpus", f"emodb={folder}", "-o", tmp_path / "run")
    assert done.exit_code == 2
    assert "lacks 338 of the 339 recordings" in done.output
