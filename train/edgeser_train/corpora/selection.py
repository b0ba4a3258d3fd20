"""The classes to distinguish, chosen from corpora whose own classes differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgeser.errors import UserError
from edgeser.events.schema import UNKNOWN
from edgeser_train.corpora.corpus import LABELS, Corpus

Classes = Mapping[str, frozenset[str]]
"""For each class, the labels of the corpora that count as it."""


def classes_of(text: str) -> Classes:
    """``angry,neutral=neutral+calm,sad`` as classes, in that order. Raises UserError."""
    classes: dict[str, frozenset[str]] = {}
    taken: set[str] = set()
    for part in text.split(","):
        name, equals, listed = (word.strip() for word in part.partition("="))
        labels = frozenset(word.strip() for word in listed.split("+")) if equals else {name}
        if not name or "" in labels or name in classes or taken & labels:
            raise UserError(
                f"--labels {text}: '{part}' is empty, or repeats a label",
                "write different labels, e.g. angry,happy,neutral=neutral+calm,sad",
            )
        classes[name] = frozenset(labels)
        taken |= labels
    if len(classes) < 2:
        raise UserError(f"--labels {text}: only one class", "write two labels or more")
    return classes


def selections(corpora: Sequence[Corpus], text: str) -> list[Corpus]:
    """Each corpus reduced to the classes of ``text``, in the syntax of ``classes_of``.

    A label that corpora share (``LABELS``), such as calm, may be in none of these. Raises UserError
    for any other label that is in none, and as ``classes_of`` and ``selected`` do.
    """
    classes = classes_of(text)
    there = labels_of(corpora)
    for label in (label for labels in classes.values() for label in sorted(labels)):
        if label not in there and label not in LABELS:
            raise UserError(
                f"--labels {text}: no corpus has a class '{label}'", f"there is {', '.join(there)}"
            )
    return [selected(corpus, classes) for corpus in corpora]


def labels_of(corpora: Sequence[Corpus]) -> list[str]:
    """The classes that at least one of them has, sorted."""
    return sorted({label for corpus in corpora for label in corpus.labels})


def selected(corpus: Corpus, classes: Classes) -> Corpus:
    """The utterances of those classes under their new names, all classes as its labels.

    A class of which the corpus has no example stays among its labels, but counts neither in the
    loss of its utterances nor in a mean recall. Raises UserError where nothing is left.
    """
    new = {old: name for name, labels in classes.items() for old in labels}
    kept = tuple(replace(u, label=new[u.label]) for u in corpus.utterances if u.label in new)
    if not kept:
        raise UserError(
            f"--labels {','.join(classes)}: corpus {corpus.name} has none of these classes",
            f"it has {', '.join(corpus.labels)}",
        )
    return replace(corpus, labels=tuple(classes), utterances=kept)


def left_out(corpus: Corpus, chosen: Corpus, labels: Sequence[str]) -> dict[str, int]:
    """How many utterances of each class of a corpus are missing from ``chosen``, the selection from
    it, or are of no class in ``labels`` there; by the corpus's own class names, the most first.
    """
    kept = {u.name for u in chosen.utterances if u.label in labels}
    return dict(Counter(u.label for u in corpus.utterances if u.name not in kept).most_common())


def check_label_names(labels: Sequence[str]) -> None:
    """Raises UserError for a class with the name that events give when the model is not sure."""
    if UNKNOWN in labels:
        raise UserError(
            f"a class is called {UNKNOWN}, which events say where the model is not sure",
            f"train it under another name, e.g. --labels angry,sad,other={UNKNOWN}",
        )
