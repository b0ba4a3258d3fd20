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
from edgeser_train.corpora.emodb import COUNTS, SPEAKERS, classic_stems, load
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
        ("emodb=/no/such/folder", "is no folder"),
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
    with pytest.raises(UserError, match=r"text\.wav"):
        type(utterance)("text", text, "03", "angry").samples()
    empty = tmp_path / "empty.wav"
    soundfile.write(empty, np.zeros(0), 16_000)
    with pytest.raises(UserError, match=r"empty\.wav: empty"):
        type(utterance)("empty", empty, "03", "angry").samples()


def test_the_real_corpus_is_complete(real_emodb: Path) -> None:
    corpus = load(real_emodb)
    assert len(corpus.utterances) == 339
    assert all(len(u.samples()) > 8000 for u in corpus.utterances[::37])
