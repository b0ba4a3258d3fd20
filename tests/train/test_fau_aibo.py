"""The FAU-Aibo loader on a synthetic tree."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from edgeser.errors import UserError
from edgeser_train.corpora.fau_aibo import COUNTS, LABELS_FILE, load
from edgeser_train.data.protocols import folds_of

SMALL = dict.fromkeys(COUNTS, 2)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two chunks of each class in each school."""
    (tmp_path / "wav").mkdir()
    (tmp_path / "labels").mkdir()
    lines = []
    for school in ("Ohm", "Mont"):
        for i, letter in enumerate("AENPR" * 2):
            lines.append(f"{school}_{i % 3 + 1:02}_00{i}_00 {letter} 0.{i + 1:02}")
            (tmp_path / "wav" / f"{lines[-1].split()[0]}.wav").touch()
    (tmp_path / "labels" / LABELS_FILE).write_text("\n".join(lines) + "\n")
    return tmp_path


def test_schools_are_the_parts(tree: Path) -> None:
    corpus = load(tree, SMALL)
    assert corpus.labels == ("angry", "emphatic", "neutral", "positive", "rest")
    assert Counter(u.part for u in corpus.utterances) == {"train": 10, "test": 10}
    first = corpus.utterances[0]
    assert (first.speaker, first.label, first.agreement) == ("Ohm_01", "angry", 0.01)
    (fold,) = folds_of("fixed", corpus)
    assert {corpus.utterances[i].speaker[:3] for i in fold.test} == {"Mon"}


def test_the_oracle_is_the_published_one(tree: Path) -> None:
    assert sum(n for kind, n in COUNTS.items() if kind.startswith("train")) == 9959
    assert sum(n for kind, n in COUNTS.items() if kind.startswith("test")) == 8257
    with pytest.raises(UserError, match=r"test angry 2 of 611, .* train rest 2 of 721; give"):
        load(tree)


def test_what_is_missing_or_bad_is_named(tree: Path) -> None:
    labels = tree / "labels" / LABELS_FILE
    text = labels.read_text()
    (tree / "wav" / "Ohm_01_003_00.wav").unlink()
    with pytest.raises(UserError, match=r"lacks 1 of the 20 .*positive 1\), first Ohm_01_003_00"):
        load(tree, SMALL)
    for line in ("Ohm_01_003_00 X 0.5", "Ohm_01_003_00 N", "Ohm_01_003 N 0.5", "Ohm_01_003_00 N n"):
        labels.write_text(text.replace("Ohm_01_003_00 P 0.04", line))
        with pytest.raises(UserError, match=f"line 4: expected .*, found '{line}'; restore"):
            load(tree, SMALL)
    labels.write_text(text + text)
    with pytest.raises(
        UserError, match="line 21: Ohm_01_000_00 is listed for the second time; restore"
    ):
        load(tree, SMALL)
    labels.unlink()
    with pytest.raises(UserError, match=f"has no {LABELS_FILE}"):
        load(tree, SMALL)
    labels.mkdir()
    with pytest.raises(UserError, match=f"{LABELS_FILE}: cannot be read: Is a directory; make it"):
        load(tree, SMALL)
