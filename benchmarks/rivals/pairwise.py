"""Predictions of a one-against-one classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeser_train.evaluation.unseen import Predictions
from edgeser_train.metrics import Doubles, Ints


@dataclass(frozen=True)
class PairwisePredictions(Predictions):
    """``margins`` (n, labels, labels): how far each is on the side of the first class of two.

    ``logits`` are their sums. Among a subset of classes only the pairs within it are used, which
    are those of a classifier trained on no other classes.
    """

    margins: Doubles

    def among(self, wanted: Sequence[str]) -> tuple[Doubles, Ints, npt.NDArray[np.bool_]]:
        there = [k for k in np.unique(self.targets).tolist() if self.labels[k] in wanted]
        _, targets, rows = super().among(wanted)
        return self.margins[rows][:, there][:, :, there].sum(axis=2), targets, rows
