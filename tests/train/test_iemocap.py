"""The IEMOCAP loader on a synthetic release."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from edgeser.errors import UserError
from edgeser_train.corpora.iemocap import LABELS, SELECTIONS, load
from edgeser_train.data.protocols import folds_of

HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
VOTED = {"neu": "Neutral", "hap": "Happiness", "exc": "Excited", "sad": "Sadness", "ang": "Anger"}

FOUND = {
    "iemocap4": (1, 1, 2, 1),
    "iemocap4-improvised-exc": (1, 2, 2, 1),
    "iemocap4-all": (1, 3, 2, 2),
}
"""How many utterances of each label, in the order of LABELS, a session of the tree has."""


def paragraph(name: str, code: str, votes: list[str]) -> str:
    lines = [f"[6.2901 - 8.2357]\t{name}\t{code}\t[2.5000, 3.5000, 1.5000]"]
    lines += [f"C-E{i}:\t{vote};\t()" for i, vote in enumerate(votes, 1)]
    lines += ["A-E3:\tval 3; act 2; dom  2;\t()", ""]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five sessions of an improvised and a scripted dialog; the sound files are empty."""
    root = tmp_path_factory.mktemp("iemocap")
    for s in range(1, 6):
        said = {
            f"Ses0{s}F_impro01": ["F000 neu", "M001 hap", "F001 exc", "M002 sad", "F002 ang"]
            + ["M003 neu", "M004 fru", "F003 xxx"],
            f"Ses0{s}M_script01_1b": ["F000 sad", "M001 exc", "MXX0 oth"],
        }
        evaluations = root / f"Session{s}" / "dialog" / "EmoEvaluation"
        evaluations.mkdir(parents=True)
        (evaluations / "Categorical").mkdir()
        for dialog, words in said.items():
            wavs = root / f"Session{s}" / "sentences" / "wav" / dialog
            wavs.mkdir(parents=True)
            text = HEADER
            for word in words:
                turn, code = word.split()
                right = VOTED.get(code, "Other")
                text += paragraph(f"{dialog}_{turn}", code, [right, right, "Neutral; Fear"])
                (wavs / f"{dialog}_{turn}.wav").touch()
            (evaluations / f"{dialog}.txt").write_text(text)
    return root


def counting(name: str) -> dict[str, tuple[int, int, int, int]]:
    return dict.fromkeys("12345", FOUND[name])  # type: ignore[return-value]


@pytest.mark.parametrize("name", sorted(SELECTIONS))
def test_a_selection_takes_its_labels_and_dialogs(tree: Path, name: str) -> None:
    corpus = load(name, tree, replace(SELECTIONS[name], counts=counting(name)))
    assert corpus.labels == LABELS
    counts = Counter(u.label for u in corpus.utterances)
    assert tuple(counts[label] for label in LABELS) == tuple(5 * n for n in FOUND[name])
    assert corpus.speakers == tuple(f"{s}{g}" for s in range(1, 6) for g in "FM")
    styles = {u.style for u in corpus.utterances}
    assert styles == {"improvised"} | ({"scripted"} if name == "iemocap4-all" else set())


def test_what_is_known_of_an_utterance(tree: Path) -> None:
    name = "iemocap4-all"
    corpus = load(name, tree, replace(SELECTIONS[name], counts=counting(name)))
    by_name = {u.name: u for u in corpus.utterances}
    happy = by_name["Ses01F_impro01_M001"]
    assert (happy.speaker, happy.gender, happy.session) == ("1M", "male", "1")
    assert (happy.valence, happy.arousal) == (2.5, 3.5)
    assert happy.agreement == 2 / 4  # one annotator gave two votes
    assert by_name["Ses01F_impro01_F000"].agreement == 3 / 4
    scripted = by_name["Ses04M_script01_1b_M001"]
    assert (scripted.label, scripted.speaker, scripted.style) == ("happy", "4M", "scripted")
    assert scripted.agreement == 2 / 4  # votes for excited, not for happy
    assert happy.path.name == "Ses01F_impro01_M001.wav"


def test_the_other_speaker_of_the_session_validates(tree: Path) -> None:
    name = "iemocap4-all"
    corpus = load(name, tree, replace(SELECTIONS[name], counts=counting(name)))
    for fold in folds_of("loso_val", corpus):
        (held,) = {corpus.utterances[i].speaker for i in fold.validation}
        assert held[0] == fold.name[0]
        assert held != fold.name


def test_the_selections_have_the_published_counts() -> None:
    totals = {
        name: [sum(column) for column in zip(*s.counts.values(), strict=True)]
        for name, s in SELECTIONS.items()
    }
    assert totals == {  # angry, happy, neutral, sad
        "iemocap4": [289, 284, 1099, 608],
        "iemocap4-improvised-exc": [289, 947, 1099, 608],
        "iemocap4-all": [1103, 1636, 1708, 1084],
    }
    with_excited = SELECTIONS["iemocap4-improvised-exc"].counts.values()
    assert [sum(row) for row in with_excited] == [521, 530, 627, 534, 731]


def test_other_counts_are_named(tree: Path) -> None:
    selection = SELECTIONS["iemocap4"]
    with pytest.raises(UserError, match="session 1 angry 1 of 62, session 1 happy 1 of 33"):
        load("iemocap4", tree, selection)


def copy_of(tree: Path, to: Path) -> Path:
    """Folders of its own, links for files."""
    for path in tree.rglob("*"):
        target = to / "IEMOCAP_full_release" / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            target.symlink_to(path)
    return to / "IEMOCAP_full_release"


def test_what_is_missing_is_named(tree: Path, tmp_path: Path) -> None:
    selection = replace(SELECTIONS["iemocap4"], counts=counting("iemocap4"))
    root = copy_of(tree, tmp_path)
    assert len(load("iemocap4", tmp_path, selection).utterances) == 25
    gone = "Session3/sentences/wav/Ses03F_impro01/Ses03F_impro01_F002.wav"
    (root / gone).unlink()
    said = r"Session3 lacks 1 of the \d+ recordings \(angry 1\), first Ses03F_impro01_F002"
    with pytest.raises(UserError, match=said):
        load("iemocap4", tmp_path, selection)
    (root / "Session2" / "dialog").rename(root / "Session2" / "gone")
    with pytest.raises(UserError, match="has no Session2/dialog/EmoEvaluation"):
        load("iemocap4", tmp_path, selection)


def test_a_bad_line_is_named(tree: Path, tmp_path: Path) -> None:
    selection = replace(SELECTIONS["iemocap4"], counts=counting("iemocap4"))
    file = copy_of(tree, tmp_path) / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    text = file.read_text()
    file.unlink()
    file.write_text(text.replace("\thap\t", " hap "))
    with pytest.raises(UserError, match=r"Ses01F_impro01\.txt line 9: expected '\[start - end\]"):
        load("iemocap4", tmp_path, selection)
