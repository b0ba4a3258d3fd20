"""The KEMDy19 loader on a synthetic tree."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from edgeser.errors import UserError
from edgeser_train.corpora.kemdy19 import COUNTS, load

TOP = "Numb,Wav,,ECG,,Segment ID,Total Evaluation,,,Eval01F,,,Eval02M,,"
BELOW = (
    " ,start,end,start,end,,Emotion,Valence,Arousal,Emotion,Valence,Arousal,Emotion,Valence,Arousal"
)
SMALL = {"angry": 4, "happy": 4, "neutral": 8, "sad": 4}


def line(name: str, emotion: str, votes: str) -> str:
    one, other = votes.split()
    return f"1,0.1,1.2,0,0,{name},{emotion},3.5,2.5,{one},3,3,{other},3,3"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two sessions; each speaker's own file labels what it said, the other's says otherwise."""
    (tmp_path / "annotation").mkdir()
    for session in ("01", "02"):
        wavs = tmp_path / "wav" / f"Session{session}" / f"Sess{session}_impro01"
        wavs.mkdir(parents=True)
        for gender, other in ("FM", "MF"):
            said = ["angry angry sad", "happy happy happy", "neutral neutral neutral"]
            said += ["sad sad sad", "neutral;angry neutral angry", "fear fear fear"]
            said += ["neutral neutral neutral"]
            rows = [TOP, BELOW]
            for i, words in enumerate(said):
                emotion, *votes = words.split()
                name = f"Sess{session}_impro01_{gender}{i:03}"
                (wavs / f"{name}.wav").touch()
                rows.append(line(name, emotion, " ".join(votes)))
                rows.append(line(name.replace(f"_{gender}", f"_{other}"), "sad", "sad sad"))
            path = tmp_path / "annotation" / f"Session{session}_{gender}_res.csv"
            path.write_text("\ufeff" + "\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def test_the_speakers_own_file_counts(tree: Path) -> None:
    corpus = load(tree, SMALL)
    assert Counter(u.label for u in corpus.utterances) == SMALL
    assert corpus.speakers == ("01F", "01M", "02F", "02M")
    one = corpus.utterances[0]
    assert (one.name, one.label, one.agreement) == ("Sess01_impro01_F000", "angry", 0.5)
    assert (one.valence, one.arousal) == (3.5, 2.5)
    assert (one.session, one.gender, one.style) == ("01", "female", "improvised")


def test_ties_count_as_the_first_where_that_gives_the_published_counts(tree: Path) -> None:
    with_ties = SMALL | {"neutral": 12}
    assert Counter(u.label for u in load(tree, with_ties).utterances) == with_ties


def test_other_counts_are_named(tree: Path) -> None:
    assert sum(COUNTS.values()) == 7944
    with pytest.raises(UserError, match="angry 4 of 1530, happy 4 of 1313, neutral 8 of 4328"):
        load(tree)


def test_another_layout_is_named(tree: Path) -> None:
    (tree / "wav" / "Session02" / "Sess02_impro01" / "Sess02_impro01_M000.wav").unlink()
    with pytest.raises(UserError, match=r"lacks 1 .*angry 1\), first Sess02_impro01_M000"):
        load(tree, SMALL)
    file = tree / "annotation" / "Session01_F_res.csv"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("3.5", "much", 1), encoding="utf-8")
    with pytest.raises(
        UserError, match=r"Session01_F_res\.csv line 3: valence or arousal .*; restore"
    ):
        load(tree, SMALL)
    file.write_text(text.replace("Total Evaluation", "Total"), encoding="utf-8")
    with pytest.raises(UserError, match=r"Session01_F_res\.csv: no 'Segment ID' and 'Total"):
        load(tree, SMALL)
    for path in (tree / "annotation").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"has no annotation/Session01_F_res\.csv"):
        load(tree, SMALL)
