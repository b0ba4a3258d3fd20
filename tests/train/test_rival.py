"""The openSMILE baseline is scored on the same folds, with what a listener could know."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import script
from benchmarks.rivals import opensmile_svm
from benchmarks.rivals.opensmile_svm import STANDARDISED, TEN, Voices
from benchmarks.rivals.pairwise import PairwisePredictions
from edgeser.errors import UserError
from edgeser_train.corpora import load_corpora
from edgeser_train.data.protocols import folds_of
from edgeser_train.evaluation.enrolment import EARLIER, NOTHING, enrolled_for

FEATURES = 5


@pytest.fixture(scope="module")
def voices(emodb: Path) -> Voices:
    corpus = load_corpora([f"emodb={emodb}"])
    shape = (len(corpus.utterances), FEATURES)
    return Voices(corpus, np.random.default_rng(0).normal(3, 2, shape).astype(np.float32))


def test_every_speaker_is_standardised_separately(voices: Voices) -> None:
    made = opensmile_svm._features(voices, STANDARDISED)
    speakers = np.array([u.speaker for u in voices.corpus.utterances])
    for speaker in voices.corpus.speakers:
        own = made[speakers == speaker]
        np.testing.assert_allclose(own.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(own.std(axis=0), 1, atol=1e-5)


def test_a_feature_that_never_changes_is_zero(voices: Voices) -> None:
    same = voices._replace(values=np.full_like(voices.values, 7))
    assert not opensmile_svm._features(same, STANDARDISED).any()


def test_an_utterance_is_relative_to_others_of_its_voice(voices: Voices) -> None:
    assert opensmile_svm._features(voices, NOTHING) is voices.values
    made = opensmile_svm._features(voices, TEN)
    for i, enrolled in enumerate(enrolled_for(voices.corpus, TEN, 0)):
        assert i not in enrolled
        expected = voices.values[i] - voices.values[enrolled].mean(axis=0)
        np.testing.assert_allclose(made[i], expected, atol=1e-5)


def test_nothing_is_known_of_a_voice_at_its_first_utterance(voices: Voices) -> None:
    unknown = np.isnan(opensmile_svm._features(voices, EARLIER)).all(axis=1)
    assert unknown.sum() == len(voices.corpus.speakers)


def test_classes_are_mapped_as_evaluate_does(voices: Voices) -> None:
    calm = voices.among("calm=neutral+sad,angry")
    assert calm.corpus.labels == ("calm", "angry")
    wanted = [u.label in ("angry", "neutral", "sad") for u in voices.corpus.utterances]
    np.testing.assert_array_equal(calm.values, voices.values[wanted])
    with pytest.raises(UserError, match="has none of these classes"):
        voices.among("surprised,bored")


def test_unseen_corpora_train_nothing(voices: Voices) -> None:
    each = len(voices.corpus.utterances)
    fold = opensmile_svm._unseen([voices, voices], 3 * each)
    assert fold.train == tuple(range(2 * each))
    assert fold.test == tuple(range(2 * each, 3 * each))


def test_a_report_tells_no_folders() -> None:
    told = script.without_folders(["--corpus", "emodb=/home/me/emodb", "-o", "/home/me/out"])
    assert told == ["--corpus", "emodb=PATH", "-o", "out"]


def test_protocol_and_unseen_exclude_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--corpus", "emodb=x", "--unseen", "savee=y", "--protocol", "loco", "-o", "z"]
    monkeypatch.setattr(sys, "argv", ["opensmile_svm.py", *words])
    with pytest.raises(SystemExit) as ended:
        opensmile_svm._asked()
    assert ended.value.code == 2
    assert "leave out --protocol" in capsys.readouterr().err


def test_classes_told_apart_alone_are_judged_by_their_own_pairs() -> None:
    """The third class, which is not asked for, speaks for the second one and changes nothing."""
    margins = np.zeros((4, 3, 3))
    margins[:, 0, 1], margins[:, 1, 2] = 1, 9
    margins -= margins.transpose(0, 2, 1)
    targets = np.array([0, 0, 1, 2])
    sums = margins.sum(axis=2)
    predictions = PairwisePredictions("x", ("a", "b", "c"), sums, targets, tuple("stst"), margins)
    assert (predictions.logits.argmax(axis=1) == 1).all()
    two = predictions.among(("a", "b"))
    assert (two.labels, two.speakers) == (("a", "b"), ("s", "t", "s"))
    assert two.targets.tolist() == [0, 0, 1]
    assert (two.logits.argmax(axis=1) == 0).all()
    np.testing.assert_array_equal(predictions.among(("a", "b", "c")).logits, predictions.logits)


@pytest.mark.parametrize("protocol", ["full", "zhong10"])
def test_what_scores_nothing_or_things_twice_is_refused(voices: Voices, protocol: str) -> None:
    with pytest.raises(UserError, match="--protocol"):
        opensmile_svm._once_each(folds_of(protocol, voices.corpus))
    opensmile_svm._once_each(folds_of("loso", voices.corpus))
