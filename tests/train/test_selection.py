"""The choice of classes to distinguish."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus, Utterance, merged
from edgeser_train.corpora.selection import classes_of, left_out, selected, selections
from edgeser_train.data.batch import Batch
from edgeser_train.data.protocols import folds_of
from edgeser_train.experiments import planned
from edgeser_train.training.batches import _class_mask
from edgeser_train.training.losses import CrossEntropy


def corpus_of(name: str, labels: str, speakers: str = "ab") -> Corpus:
    utterances = tuple(
        Utterance(f"{s}{label}", Path(name), s, label, name)
        for s in speakers
        for label in labels.split()
    )
    return Corpus(name, "CC0-1.0", tuple(sorted(labels.split())), utterances)


def test_classes_are_chosen_and_merged_under_new_names() -> None:
    corpus = selected(
        corpus_of("x", "angry calm neutral surprised"), classes_of("neutral=neutral+calm,angry")
    )
    assert corpus.labels == ("neutral", "angry")
    assert [u.label for u in corpus.utterances] == ["angry", "neutral", "neutral"] * 2


def test_corpora_of_different_classes_merge() -> None:
    classes = classes_of("angry,happy,sad")
    both = merged(
        [
            selected(corpus_of("x", "angry sad bored"), classes),
            selected(corpus_of("y", "angry happy sad"), classes),
        ]
    )
    assert both.labels == ("angry", "happy", "sad")
    assert [
        fold.name
        for fold in folds_of(
            "loco", merged([selected(corpus_of(n, "angry happy sad"), classes) for n in "xyz"])
        )
    ] == ["x", "y", "z"]
    class_mask = _class_mask(both)
    assert class_mask is not None
    assert class_mask[0].tolist() == [True, False, True]
    assert class_mask[-1].all()
    assert _class_mask(selected(corpus_of("y", "angry happy sad"), classes)) is None


def test_a_class_that_a_corpus_lacks_is_not_in_its_loss() -> None:
    logits = torch.tensor([[1.0, 5.0, -1.0]], requires_grad=True)
    batch = Batch.of(
        torch.zeros(1, 1, 1), torch.ones(1, dtype=torch.int64), torch.tensor([[1.0, 0, 0]])
    )
    batch = batch._replace(class_mask=torch.tensor([[True, False, True]]))
    loss, _ = CrossEntropy(label_smoothing=0.2).hard(lambda *_: logits, batch, torch.ones(3))  # type: ignore[arg-type]
    two = torch.log_softmax(logits.detach()[:, [0, 2]], dim=1)
    assert loss.detach().item() == pytest.approx(
        float(-(0.9 * two[0, 0] + 0.1 * two[0, 1])), abs=1e-4
    )
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] == 0


@pytest.mark.parametrize("text", ["angry", "angry,angry", "angry,", "a=x+y,b=y", "a=,b"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--labels"):
        classes_of(text)


def test_a_corpus_without_any_of_them_is_named() -> None:
    with pytest.raises(UserError, match="corpus x has none of these classes; it has angry, sad"):
        selected(corpus_of("x", "angry sad"), classes_of("happy,neutral"))


def test_a_class_that_only_one_corpus_has_is_no_mistake() -> None:
    corpora = [corpus_of("x", "high low"), corpus_of("y", "high deep")]
    x, y = selections(corpora, "high,low=low+deep")
    assert {u.label for u in x.utterances} == {u.label for u in y.utterances} == {"high", "low"}


def test_a_class_that_corpora_share_may_be_in_none() -> None:
    (x,) = selections([corpus_of("x", "neutral sad")], "neutral=neutral+calm,sad")
    assert x.labels == ("neutral", "sad")


def test_what_is_left_out_is_counted_under_the_corpus_own_names() -> None:
    whole = corpus_of("x", "angry calm happy neutral sad")
    (chosen,) = selections([whole], "neutral=neutral+calm,angry,sad")
    assert left_out(whole, chosen, ("angry", "neutral", "sad")) == {"happy": 2}
    assert left_out(whole, chosen, ("angry", "sad")) == {"calm": 2, "happy": 2, "neutral": 2}
    assert left_out(whole, whole, whole.labels) == {}


def test_a_mistyped_class_is_named() -> None:
    corpora = [corpus_of("x", "calm neutral"), corpus_of("y", "neutral sad")]
    with pytest.raises(UserError, match="no corpus has a class 'clam'; there is calm, neutral, sa"):
        selections(corpora, "neutral=neutral+clam,sad")


def test_loco_needs_two_corpora() -> None:
    with pytest.raises(UserError, match="only one corpus"):
        folds_of("loco", corpus_of("x", "angry sad"))


def test_no_class_may_be_called_unknown() -> None:
    corpus = corpus_of("x", "angry sad unknown")
    with pytest.raises(UserError, match=r"called unknown, .*other=unknown"):
        planned("lightweight", corpus, protocol="loso")
    with pytest.raises(UserError, match="called unknown"):
        planned("lightweight", selected(corpus, classes_of("sad,unknown=angry")), protocol="loso")
    renamed = selected(corpus, classes_of("angry,sad,other=unknown"))
    assert planned("lightweight", renamed, protocol="loso").corpus.labels[-1] == "other"
