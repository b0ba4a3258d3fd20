"""``edgeser report``: evaluations side by side, and what cannot be."""

from __future__ import annotations

import csv
import glob
import json
import shlex
import sys
from pathlib import Path

import msgspec
import pytest

from edgeser_train.evaluation.comparison import compare
from edgeser_train.evaluation.evaluation import Training
from edgeser_train.evaluation.report import Report, report_of
from edgeser_train.evaluation.report_files import write
from tests.command_line import edgeser
from tests.train.predictions import plan, results
from tests.unprivileged import unprivileged


def made(stream: int = 0, skill: float = 2.0, **options: object) -> Report:
    p = plan(**options)  # type: ignore[arg-type]
    return report_of(p, results(p, stream=stream, skill=skill), "edgeser evaluate ...")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Folders ``weak``, ``strong`` and, of three seeds, ``seeds``."""
    write(made(skill=1.0), tmp_path / "weak" / "report")
    write(made(stream=1, skill=4.0), tmp_path / "strong" / "report")
    write(made(stream=2, seeds=(1, 2, 3)), tmp_path / "seeds" / "report")
    return tmp_path


def test_runs_side_by_side(runs: Path) -> None:
    done = edgeser("report", runs / "weak", runs / "strong", runs / "seeds", "-o", runs / "t.md")
    assert done.exit_code == 0, done.output
    for word in ("weak", "strong", "seeds", "gain -20 dB", "McNemar p", "lightweight"):
        assert word in done.output
    assert max(map(len, done.output.splitlines())) <= 80
    text = (runs / "t.md").read_text()
    for name in ("t.csv", "t.tex"):
        assert edgeser("report", runs / "weak", runs / "seeds", "-o", runs / name).exit_code == 0
    rows = list(csv.DictReader((runs / "t.csv").open()))
    assert [row["run"] for row in rows] == ["weak", "seeds"]
    assert 0 <= float(rows[0]["ua_low"]) <= float(rows[0]["ua"]) <= float(rows[0]["ua_high"]) <= 1
    latex = (runs / "t.tex").read_text()
    assert latex.count(r"\\") == 3
    assert r"UA \%" in latex
    done = edgeser("report", runs / "weak", "-o", runs / "t.doc")
    assert (done.exit_code, "name it .md, .csv or .tex" in done.output) == (2, True)
    assert text.startswith("# Evaluations side by side")
    assert "## Compared to weak" in text
    assert "| strong | 48 | WA | +" in text


def test_as_json(runs: Path) -> None:
    done = edgeser("report", runs / "weak" / "report" / "report.json", runs / "strong", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.output)
    assert [run["run"] for run in document["runs"]] == ["weak", "strong"]
    (c,) = document["comparisons"]
    assert (c["first"], c["second"], c["utterances"], c["notes"]) == ("weak", "strong", 48, [])
    gained = document["runs"][1]["ua"]["value"] - document["runs"][0]["ua"]["value"]
    assert c["ua"]["over_utterances"]["value"] == pytest.approx(gained)
    assert c["ua"]["over_utterances"]["low"] > 0
    assert c["mcnemar"]["p"] < 0.05


def test_the_examples_of_the_help_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those on runs that are here."""
    told = [line.strip() for line in edgeser("report", "--help").output.splitlines()]
    [example] = [line for line in told if line.startswith("edgeser report docs/")]
    words = shlex.split(example)[1:]
    monkeypatch.chdir(Path(__file__).parents[2])
    at = words.index("-o") + 1
    words[at] = str(tmp_path / words[at])
    done = edgeser(*(name for word in words for name in sorted(glob.glob(word)) or [word]))
    assert done.exit_code == 0, done.output
    assert "eca-emodb" in Path(words[at]).read_text()


def test_folders_without_a_report_are_left_out(runs: Path) -> None:
    """As the help's example has it: runs/*, where caches and trainings lie, too."""
    for name in ("all", "cache"):
        (runs / name).mkdir()
    folders = sorted(runs.iterdir())
    done = edgeser("report", *folders, "-o", runs / "figures.csv")
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines() == [
        f"report {runs / name}: holds no report.json, left out" for name in ("all", "cache")
    ]
    rows = list(csv.DictReader((runs / "figures.csv").open()))
    assert [row["run"] for row in rows] == ["seeds", "strong", "weak"]
    done = edgeser("report", runs / "cache")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        f"edgeser: report {runs / 'cache'}: holds no report.json; 'edgeser evaluate' makes one"
    ]


def test_a_report_that_may_not_be_read(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (runs / "closed").mkdir(mode=0)
    (runs / "shut.json").touch(mode=0)
    runs.chmod(0o755)
    monkeypatch.chdir(runs)  # what lies above it is closed, too
    edgeser("report", runs / "weak")  # imports what nobody may not
    with unprivileged():
        closed, shut = edgeser("report", "closed"), edgeser("report", "shut.json")
    assert closed.output == "edgeser: closed/report.json: Permission denied\n"
    assert shut.output == "edgeser: report shut.json: cannot be read: Permission denied\n"


def test_a_run_may_have_any_name(runs: Path) -> None:
    (runs / "weak").rename(runs / "[red]")
    done = edgeser("report", runs / "[red]", runs / "strong")
    assert done.exit_code == 0, done.output
    assert "[red]" in done.output


def test_one_run_is_shown_alone(runs: Path) -> None:
    done = edgeser("report", runs / "weak")
    assert done.exit_code == 0
    assert "Compared" not in done.output


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no such file or folder"),
        (lambda path: path.write_text("[]"), "not a report of 'edgeser evaluate'"),
    ],
)
def test_what_is_no_report_is_one_line(runs: Path, make: object, said: str) -> None:
    make(runs / "other")  # type: ignore[operator]
    done = edgeser("report", runs / "weak", runs / "other", "-o", runs / "t.md")
    assert done.exit_code == 2
    assert said in done.output
    assert str(runs / "other") in done.output
    assert len(done.output.splitlines()) == 1
    assert not (runs / "t.md").exists()


def test_a_report_of_another_format_is_one_line(runs: Path) -> None:
    path = runs / "strong" / "report" / "report.json"
    tree = json.loads(path.read_text())
    path.write_text(json.dumps({**tree, "format": 99}))
    done = edgeser("report", runs / "weak", runs / "strong")
    assert done.exit_code == 2
    assert "of format 99" in done.output
    assert len(done.output.splitlines()) == 1


def test_only_utterances_of_both_are_compared() -> None:
    few, many = made(speakers=3), made(speakers=5, stream=3)
    c = compare(("few", "many"), few, many)
    assert c.utterances == 36
    assert c.notes == ["only the 36 utterances in both count, of 36 and 60"]
    assert c.wa is not None
    inside = {a.utterance: a for a in few.answers}
    shared = [a for a in many.answers if a.utterance in inside]
    expected = sum(
        (a.predicted[0] == a.target) - (inside[a.utterance].predicted[0] == a.target)
        for a in shared
    )
    assert c.wa.over_utterances.value == pytest.approx(expected / 36)


def test_protocols_that_differ_are_told() -> None:
    c = compare(("a", "b"), made(), made(stream=1, protocol="random_kfold"))
    assert "protocol: loso, random_kfold" in c.notes
    assert "only one of them is speaker-independent: not a comparison of models" in c.notes
    assert c.wa is not None


def test_what_is_not_comparable() -> None:
    a, b = made(), made(stream=1)
    others = [msgspec.structs.replace(x, utterance=f"x{x.utterance}") for x in b.answers]
    elsewhere = msgspec.structs.replace(b, answers=others)
    seven = msgspec.structs.replace(b, labels=["a", "b", "c", "d"])
    swapped = [msgspec.structs.replace(x, target=(x.target + 1) % 4) for x in b.answers]
    relabelled = msgspec.structs.replace(b, answers=swapped)
    for other in (elsewhere, seven, relabelled):
        c = compare(("a", "b"), a, other)
        assert (c.wa, c.ua, c.mcnemar) == (None, None, None)
        assert "not comparable" in c.notes[0]


def test_labels_in_another_order_are_the_same_labels() -> None:
    a, b = made(), made(stream=1)
    turn = {0: 3, 1: 2, 2: 1, 3: 0}
    turned = msgspec.structs.replace(
        b,
        labels=b.labels[::-1],
        answers=[
            msgspec.structs.replace(
                x, target=turn[x.target], predicted=[turn[i] for i in x.predicted]
            )
            for x in b.answers
        ],
    )
    assert compare(("a", "b"), a, turned) == compare(("a", "b"), a, b)


def test_speakers_are_drawn_where_there_are_enough() -> None:
    few, enough = (
        compare(("a", "b"), made(speakers=n), made(speakers=n, stream=1, skill=3.0)).ua
        for n in (4, 5)
    )
    assert few is not None
    assert few.over_speakers is None
    assert enough is not None
    assert enough.over_speakers is not None
    assert enough.over_speakers.value == pytest.approx(enough.over_utterances.value)


def test_several_seeds_have_no_mcnemar() -> None:
    c = compare(("a", "b"), made(), made(stream=2, seeds=(1, 2)))
    assert c.mcnemar is None
    assert c.wa is not None


def merged_of(stream: int) -> Report:
    """Two corpora whose files have the same names."""
    r = made(stream=stream)
    return msgspec.structs.replace(
        r,
        corpus="emodb+mine",
        corpora=["emodb", "mine"],
        answers=[
            msgspec.structs.replace(x, utterance=f"{source}:{x.utterance}")
            for source in ("emodb", "mine")
            for x in r.answers
        ],
    )


def test_equal_names_in_two_corpora_are_two_utterances() -> None:
    c = compare(("a", "b"), merged_of(0), merged_of(1))
    assert (c.utterances, c.notes) == (96, [])
    c = compare(("a", "b"), made(), merged_of(1))
    assert c.utterances == 48
    assert c.notes[0] == "only the 48 utterances in both count, of 48 and 96"
    assert c.wa is not None
    assert c.wa.over_utterances == compare(("a", "b"), made(), made(1)).wa.over_utterances  # type: ignore[union-attr]
    selection = msgspec.structs.replace(made(1), corpus="emodb7", corpora=["emodb7"])
    assert compare(("a", "b"), made(), selection).utterances == 48
    another = msgspec.structs.replace(made(1), corpus="mine", corpora=["mine"])
    assert compare(("a", "b"), made(), another).wa is None


def test_the_code_is_that_which_trained(tmp_path: Path) -> None:
    trained = [Training(f"{digit * 12}", "2026-01-02", 1) for digit in "ab"]
    write(msgspec.structs.replace(made(), trained=trained), tmp_path / "r")
    write(
        msgspec.structs.replace(made(), speaker_independent=False, ancestors_known=False),
        tmp_path / "s",
    )
    document = edgeser("report", tmp_path / "r", tmp_path / "s", "-o", tmp_path / "t.md")
    assert document.exit_code == 0, document.output
    text = (tmp_path / "t.md").read_text()
    assert "| r | new | last epoch | aaaaaaaa bbbbbbbb | 1 |" in text
    assert "| s | not known | last epoch | not known | 1 |" in text


def test_a_merged_corpus_is_compared_to_its_part() -> None:
    part, merged = made(), made(stream=1)
    merged = msgspec.structs.replace(
        merged,
        corpus="emodb+ravdess4",
        corpora=["emodb", "ravdess4"],
        answers=[
            msgspec.structs.replace(x, utterance=f"emodb:{x.utterance}") for x in merged.answers
        ],
    )
    c = compare(("part", "merged"), part, merged)
    assert (c.utterances, c.notes) == (48, ["corpus: emodb, emodb+ravdess4"])


def test_without_the_libraries_of_training_it_says_what_to_install(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    done = edgeser("report", runs / "weak")
    assert done.exit_code == 2
    assert "pip install 'edgeser[train]'" in done.output
