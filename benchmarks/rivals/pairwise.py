"""Predictions of a one-against-one classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeser_train.evaluation.unseen import Predictions
from edgeser_train.metrics import Doubles


@dataclass(frozen=True)
class PairwisePredictions(Predictions):
    """``margins`` (n, labels, labels): how far each is on the side of the first class of two.

    ``logits`` are their sums. Among a subset of classes only the pairs within it are used, which
    are those of a classifier trained on no other classes.
    """

    margins: Doubles

    def logits_of(self, classes: Sequence[int]) -> Doubles:
        sums: Doubles = self.margins[:, classes][:, :, classes].sum(axis=2)
        return sums
