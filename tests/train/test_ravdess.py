"""The RAVDESS loader: all recordings of the actors, trimmed to their speech."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeser.errors import UserError
from edgeser.model.golden import waveform
from edgeser.pcm import Samples
from edgeser_train.corpora.corpus import Corpus, Utterance
from edgeser_train.corpora.ravdess import SPEAKERS, load, load_4, stems
from edgeser_train.corpora.trim import speech_of
from tests.sounds import corpus as corpus_folder

EIGHT = {"neutral": 96} | dict.fromkeys(
    ("angry", "calm", "disgusted", "fearful", "happy", "sad", "surprised"), 192
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 1440 files in the folders of the original archive; what is in them is never read."""
    folder = tmp_path_factory.mktemp("ravdess")
    for stem in stems():
        (folder / f"Actor_{stem[-2:]}").mkdir(exist_ok=True)
        (folder / f"Actor_{stem[-2:]}" / f"{stem}.wav").touch()
    return folder


def test_eight_classes_of_24_speakers(tree: Path) -> None:
    corpus = load(tree)
    assert Counter(u.label for u in corpus.utterances) == EIGHT
    assert set(Counter(u.speaker for u in corpus.utterances).values()) == {60}
    assert corpus.speakers == SPEAKERS
    assert corpus.licence == "CC-BY-NC-SA-4.0"
    by_name = {u.name: u for u in corpus.utterances}
    one = by_name["03-01-05-02-01-01-08"]
    assert (one.label, one.speaker, one.gender, one.trim) == ("angry", "08", "female", True)


def test_four_classes(tree: Path) -> None:
    corpus = load_4(tree)
    assert corpus.labels == ("angry", "happy", "neutral", "sad")
    assert Counter(u.label for u in corpus.utterances) == {k: EIGHT[k] for k in corpus.labels}


def test_the_identical_files_are_one_group(tree: Path) -> None:
    grouped = [u for u in load(tree).utterances if u.group]
    assert [u.name for u in grouped] == ["03-01-03-01-02-01-07", "03-01-03-01-02-02-07"]
    assert len({u.group for u in grouped}) == 1


@pytest.mark.parametrize(
    ("added", "removed", "said"),
    [
        ("", "03-01-05-02-01-01-08", r"lacks 1 of the 1440 recordings \(angry 1\), first 03-01-05"),
        (
            "03-01-01-02-01-01-08",
            "",
            "1 files that are not part of this corpus, first 03-01-01-02-01",
        ),
        ("copy/03-01-05-02-01-01-08", "", "03-01-05-02-01-01-08 is twice in .*copy/03"),
        ("03-02-05-02-01-01-08", "", ""),
    ],
)
def test_what_is_missing_or_extra_is_named(
    tree: Path, tmp_path: Path, added: str, removed: str, said: str
) -> None:
    for stem in set(stems()) - {removed}:
        (tmp_path / f"{stem}.flac").touch()
    if added:
        (tmp_path / "copy").mkdir()
        (tmp_path / f"{added}.wav").touch()
    if not said:
        assert len(load(tmp_path).utterances) == 1440
        return
    with pytest.raises(UserError, match=said):
        load(tmp_path)


def between_silence(sound: Samples, silence_s: float, gain: float) -> Samples:
    silence = np.zeros(int(silence_s * 16_000))
    hiss = np.random.default_rng(0).normal(0, 3, 2 * len(silence) + len(sound))
    samples: Samples = np.round(
        gain * (np.concatenate([silence, sound.astype(np.float64), silence]) + hiss)
    ).astype(np.int16)
    return samples


def test_silence_at_both_ends_goes_and_the_level_stays() -> None:
    sound = waveform(1, 1.5)
    loud = between_silence(sound, 1.0, 1.0)
    kept = speech_of(loud)
    assert 1.4 < len(kept) / 16_000 < 1.8
    (place,) = np.flatnonzero(
        [np.array_equal(loud[i : i + len(kept)], kept) for i in range(0, len(loud), 320)]
    )
    assert 0.8 < place * 0.02 < 1.1
    faint = speech_of(between_silence(sound, 1.0, 0.05))
    assert abs(len(faint) - len(kept)) <= 640
    assert np.abs(faint).max() < 0.06 * np.abs(kept.astype(int)).max()


def test_a_recording_without_speech_stays_whole() -> None:
    silence = np.zeros(16_000, np.int16)
    assert np.array_equal(speech_of(silence), silence)
    assert len(speech_of(np.zeros(0, np.int16))) == 0
    assert len(speech_of(np.ones(100, np.int16))) == 100


def test_reading_trims_and_another_trimming_is_another_corpus(tmp_path: Path) -> None:
    path = tmp_path / "one.flac"
    soundfile.write(path, between_silence(waveform(1, 1.5), 1.0, 1.0), 16_000)
    trimmed = Utterance("one", path, "01", "sad", trim=True)
    whole = Utterance("one", path, "01", "sad")
    assert len(whole.samples()) == 56_000
    assert np.array_equal(trimmed.samples(), speech_of(whole.samples()))
    fingerprints = {Corpus("c", "CC0-1.0", ("sad",), (u,)).fingerprint for u in (trimmed, whole)}
    assert len(fingerprints) == 2


def test_the_real_corpus_is_complete_and_its_speech_about_half() -> None:
    folder = corpus_folder("ravdess")
    if folder is None:
        pytest.skip("no ravdess: set EDGESER_DATA to the folder of the corpora")
    corpus = load(folder)
    assert len(corpus.utterances) == 1440
    some = corpus.utterances[::60]
    kept = sum(len(u.samples()) for u in some)
    there = sum(soundfile.info(u.path).frames for u in some)
    assert 0.45 < kept / there < 0.65
    one, other = (u for u in corpus.utterances if u.group)
    assert np.array_equal(one.samples(), other.samples())
