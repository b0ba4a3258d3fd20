"""The Emo-DB loader: the classic recordings, all of them, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeser.errors import UserError
from edgeser_train.corpora import load_corpus
from edgeser_train.corpora.emodb import (
    COUNTS,
    COUNTS_7,
    SPEAKERS,
    classic_stems,
    load,
    load_7,
    load_7_2s,
)
from tests.sounds import corpus as corpus_folder
from tests.train.synthetic import make_emodb

BY_LETTER = {"W": 127, "L": 81, "E": 46, "A": 69, "F": 71, "T": 62, "N": 79}


def test_the_classic_list_has_the_published_counts() -> None:
    stems = classic_stems()
    assert len(set(stems)) == len(stems) == 535
    assert Counter(stem[5] for stem in stems) == BY_LETTER
    assert sorted({stem[:2] for stem in stems}) == list(SPEAKERS)


def test_four_classes_of_ten_speakers(emodb: Path) -> None:
    corpus = load(emodb)
    assert Counter(u.label for u in corpus.utterances) == COUNTS
    assert corpus.speakers == SPEAKERS
    assert corpus.labels == ("angry", "happy", "neutral", "sad")
    assert [corpus.labels[t] for t in corpus.targets] == [u.label for u in corpus.utterances]


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_emodb(tmp_path_factory.mktemp("seven"), classic_stems())


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy of exactly 2 s: one file under all names."""
    folder = tmp_path_factory.mktemp("cut")
    soundfile.write(folder / "2s.flac", np.zeros(44_100, np.int16), 22_050)
    for stem in classic_stems():
        (folder / f"{stem}.flac").symlink_to("2s.flac")
    return folder


def test_seven_classes_of_ten_speakers(seven: Path, cut: Path) -> None:
    for corpus in (load_7(seven), load_7_2s(cut)):
        assert Counter(u.label for u in corpus.utterances) == COUNTS_7
        assert corpus.speakers == SPEAKERS
        assert corpus.labels == tuple(sorted(COUNTS_7))
    assert Counter(u.gender for u in corpus.utterances) == {"female": 302, "male": 233}


def test_cut_and_full_length_recordings_are_told_apart(seven: Path, cut: Path) -> None:
    with pytest.raises(UserError, match=r"every recording in .* exactly 2 s .* emodb7-2s"):
        load_7(cut)
    with pytest.raises(UserError, match="exactly 2 s"):
        load(cut)
    with pytest.raises(UserError, match=r"03a01Fa\.wav is not exactly 2 s .* emodb7 for"):
        load_7_2s(seven)


def test_a_mixture_of_cut_and_full_length_is_not_the_cut_copy(
    seven: Path, cut: Path, tmp_path: Path
) -> None:
    for stem in classic_stems():
        source = seven / f"{stem}.wav" if stem == "12b02Ea" else cut / f"{stem}.flac"
        (tmp_path / source.name).symlink_to(source.resolve())
    with pytest.raises(UserError, match=r"12b02Ea\.wav is not exactly 2 s"):
        load_7_2s(tmp_path)


def test_an_unreadable_header_is_named(emodb: Path, tmp_path: Path) -> None:
    for path in emodb.iterdir():
        if path.stem != "03a01Nc":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "03a01Nc.wav").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(
        UserError, match=r"03a01Nc\.wav: cannot be read: Format not recognised; make"
    ):
        load(tmp_path)


def test_other_classes_and_second_edition_are_passed_over(tmp_path: Path) -> None:
    make_emodb(tmp_path / "wav", classic_stems(), suffix=".flac")
    make_emodb(tmp_path / "wav", ["03a01Wz", "17a01Fa"])
    (tmp_path / "wav" / "notes.wav").write_bytes(b"")
    corpus = load(tmp_path)
    assert len(corpus.utterances) == 339
    assert corpus.speakers == SPEAKERS


def test_missing_recordings_are_named(emodb: Path, tmp_path: Path) -> None:
    for path in emodb.iterdir():
        if path.stem not in ("03a01Fa", "03a01Nc", "16b10Wb"):
            (tmp_path / path.name).symlink_to(path)
    said = r"lacks 3 of the 339 recordings \(angry 1, happy 1, neutral 1\), first 03a01Fa, 03a01Nc"
    with pytest.raises(UserError, match=said):
        load(tmp_path)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("emodb", "write NAME=PATH"),
        ("emodb=", "write NAME=PATH"),
        ("emo=/tmp", "no corpus 'emo'"),
        ("emodb=/no/such/folder", "is not a folder"),
    ],
)
def test_a_bad_corpus_is_one_line(named: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        load_corpus(named)


def test_other_rates_are_resampled(emodb: Path, tmp_path: Path) -> None:
    utterance = load(emodb).utterances[0]
    sound, _ = soundfile.read(utterance.path)
    slow = tmp_path / "slow.wav"
    soundfile.write(slow, np.stack([sound, sound], axis=1), 8000)
    samples = type(utterance)("slow", slow, "03", "angry").samples()
    assert samples.dtype == np.int16
    assert len(samples) == 2 * len(utterance.samples())


def test_what_is_no_sound_is_named(emodb: Path, tmp_path: Path) -> None:
    utterance = load(emodb).utterances[0]
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    with pytest.raises(UserError, match=r"text\.wav: cannot be read: Format not recognised; make"):
        type(utterance)("text", text, "03", "angry").samples()
    empty = tmp_path / "empty.wav"
    soundfile.write(empty, np.zeros(0), 16_000)
    with pytest.raises(UserError, match=r"empty\.wav: the file is empty; replace"):
        type(utterance)("empty", empty, "03", "angry").samples()


def test_the_real_corpus_is_complete() -> None:
    folder = corpus_folder("emodb")
    if folder is None:
        pytest.skip("no emodb: set EDGESER_DATA to the folder of the corpora")
    assert Counter(u.label for u in load_7(folder).utterances) == COUNTS_7
    four = load(folder)
    assert len(four.utterances) == 339
    assert all(len(u.samples()) > 8000 for u in four.utterances[::37])
    with pytest.raises(UserError, match="emodb7-2s"):
        load_7_2s(folder)
