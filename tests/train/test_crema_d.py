"""The CREMA-D loader on a synthetic folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from edgeser.errors import UserError
from edgeser_train.corpora.crema_d import COUNTS, LABEL_OF_CODE, load, load_4

SMALL = dict.fromkeys(COUNTS, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "AudioWAV").mkdir()
    for actor in ("1001", "1091"):
        for code in LABEL_OF_CODE:
            (tmp_path / "AudioWAV" / f"{actor}_DFA_{code}_XX.wav").touch()
    (tmp_path / "AudioWAV" / "notes.wav").touch()
    return tmp_path


def test_six_classes_and_four(folder: Path) -> None:
    corpus = load(folder, SMALL)
    assert corpus.labels == ("angry", "disgusted", "fearful", "happy", "neutral", "sad")
    assert set(Counter(u.label for u in corpus.utterances).values()) == {2}
    assert corpus.speakers == ("1001", "1091")
    four = load_4(folder, SMALL)
    assert four.labels == ("angry", "happy", "neutral", "sad")
    assert len(four.utterances) == 8


def test_the_oracle_is_the_published_one(folder: Path) -> None:
    assert sum(COUNTS.values()) - COUNTS["speakers"] == 7442
    with pytest.raises(
        UserError, match=r"angry 2 of 1271, .* neutral 2 of 1087, .*speakers 2 of 91"
    ):
        load(folder)


def test_an_extra_file_is_named(folder: Path) -> None:
    (folder / "AudioWAV" / "1002_IEO_SAD_HI.wav").touch()
    with pytest.raises(UserError, match="was changed: sad 3 of 2, speakers 3 of 2; give"):
        load(folder, SMALL)
