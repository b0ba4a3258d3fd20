"""MESD, SAVEE, ASED and TurEV on synthetic folders with the layout of the real ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edgeser.errors import UserError
from edgeser_train.corpora import CORPORA, Corpus, ased, load_corpus, mesd, savee, turev

Load = Callable[[Path, Mapping[str, int]], Corpus]


def touched(folder: Path, names: list[str]) -> Path:
    for name in names:
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


MESD = [
    f"{emotion}_{voice}_{c}_abajo"
    for emotion in mesd.LABEL_OF_NAME
    for voice in "FMC"
    for c in "AB"
]
SAVEE = [
    f"AudioData/{speaker}/{letters}{n:02}"
    for speaker in savee.SPEAKERS
    for letters in savee.LABEL_OF_LETTERS
    for n in (1, 2)
]
ASED = [
    f"{folder}/{folder[2].lower()}{folder[1]}-01-01-{sex}-{speaker}"
    for folder in ased.LABEL_OF_FOLDER
    for sex, speaker in (("01", "07"), ("02", "65"))
]
TUREV = [
    f"Sound Source/{folder}/{speaker}_{code}_acik"
    for folder, code in zip(turev.LABEL_OF_FOLDER, ("kz", "sk", "mt", "hl"), strict=True)
    for speaker in ("1157", "7895")
]


@pytest.mark.parametrize(
    ("name", "names", "load", "counts", "total", "speakers"),
    [
        ("mesd", MESD, mesd.load, mesd.COUNTS, 856, ("C", "F", "M")),
        ("savee", SAVEE, savee.load, savee.COUNTS, 480, savee.SPEAKERS),
        ("ased", ASED, ased.load, ased.COUNTS, 2474, ("07", "65")),
        ("turev", TUREV, turev.load, turev.COUNTS, 1735, ("1157", "7895")),
    ],
)
def test_a_loader_reads_its_layout_and_demands_its_counts(
    tmp_path: Path,
    name: str,
    names: list[str],
    load: Load,
    counts: Mapping[str, int],
    total: int,
    speakers: tuple[str, ...],
) -> None:
    folder = touched(tmp_path, [*names, "notes"])
    with pytest.raises(UserError, match=f"corpus {name}: .* is incomplete, or was changed"):
        load_corpus(f"{name}={folder}")
    found = dict(Counter(key for u in read_freely(load, folder, counts) for key in u))
    corpus = load(folder, found)
    assert len(corpus.utterances) == len(names)
    assert corpus.speakers == tuple(sorted(speakers))
    assert sum(counts[label] for label in corpus.labels) == total
    assert CORPORA[name].recordings == corpus.recordings == name
    assert corpus.licence == CORPORA[name].licence
    assert len({u.name for u in corpus.utterances}) == len(names)


def read_freely(load: Load, folder: Path, counts: Mapping[str, int]) -> list[list[str]]:
    """What a folder's error counts, one list: the oracle of a small folder."""
    with pytest.raises(UserError) as refused:
        load(folder, counts)
    told = str(refused.value).partition("was changed: ")[2].partition(";")[0]
    rows = []
    for part in told.split(", "):
        kind, found, _, _ = part.rsplit(" ", 3)
        rows.append([kind] * int(found))
    return rows


@pytest.mark.parametrize("load", [savee.load, ased.load, turev.load])
def test_what_is_no_folder_is_named(tmp_path: Path, load: Load) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        load(tmp_path / "missing", {})


def test_a_recording_that_is_twice_there_is_refused(tmp_path: Path) -> None:
    touched(tmp_path, [f"one/{name}" for name in TUREV] + [f"two/{TUREV[0]}"])
    with pytest.raises(
        UserError, match=r"1157_kz_acik is twice in .*, as one/.* and two/.*; remove one"
    ):
        turev.load(tmp_path)


def test_a_name_in_another_case_is_read(tmp_path: Path) -> None:
    """One of the real files is called S4-... and not s4-..."""
    touched(tmp_path, [name.replace("/s4", "/S4") for name in ASED])
    with pytest.raises(UserError, match="sad 2 of 470"):
        ased.load(tmp_path)
