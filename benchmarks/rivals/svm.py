"""An RBF-SVM whose C is chosen on held-out voices, or corpora.

scikit-learn's SVC with its defaults (gamma "scale", one-against-one), but balanced classes and a
precomputed kernel: for thousands of utterances by thousands of features that is a product of
matrices, shared by every C.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from edgeser.errors import UserError
from edgeser.features.front_end import Floats
from edgeser_train import metrics
from edgeser_train.corpora import Corpus
from edgeser_train.evaluation import calibration
from edgeser_train.metrics import Doubles, Ints
from edgeser_train.training.sampling import balanced_sample

COSTS = (0.3, 1.0, 3.0, 10.0, 30.0)
INNER_FOLDS = 9
SEARCHED = 2000
"""If a part has more utterances, C is chosen on those that occur in twice as many draws."""

_SURE = 10.0
"""A margin that hardly any utterance has."""


class Machine:
    """An SVM trained on part of a corpus: features (n, d) to margins (n, labels, labels)."""

    def __init__(self, corpus: Corpus, part: list[int], features: Floats) -> None:
        """``features`` (part, d). Chooses C and the temperature of the scores, then trains.

        Raises UserError for a part of one speaker.
        """
        self._scaler = StandardScaler(copy=False)
        self._features = self._scaler.fit_transform(features.copy())
        self._gamma = 1 / (features.shape[1] * float(self._features.var()))
        kernel = self._kernel(self._features)
        self._labels = len(corpus.labels)
        targets = corpus.targets[part]
        self.cost, self.temperature = self._chosen(corpus, part, kernel, targets)
        self._svc = _learnt(kernel, targets, self.cost)

    def margins(self, features: Floats) -> Doubles:
        """Margins of features. The softmax of their sums over ``temperature`` is calibrated (on the
        training part).
        """
        rows = self._scaler.transform(features.copy())
        return _margins(self._svc, self._kernel(rows), self._labels)

    def _kernel(self, rows: Floats) -> Floats:
        """exp(-gamma |row - training row|²) in single precision, (rows, training rows)."""
        distances = -2 * (rows @ self._features.T)
        distances += (rows**2).sum(axis=1)[:, None]
        distances += (self._features**2).sum(axis=1)
        distances *= -self._gamma
        return np.exp(np.minimum(distances, 0, out=distances), out=distances)

    def _chosen(
        self, corpus: Corpus, part: list[int], kernel: Floats, targets: Ints
    ) -> tuple[float, float]:
        """C with the best mean recall, and the temperature that fits its scores."""
        some = np.arange(len(part))
        if len(part) > SEARCHED:
            drawn = balanced_sample(corpus, part, 2 * SEARCHED, np.random.default_rng(0))
            some = np.searchsorted(part, np.unique(drawn))
        utterances = [corpus.utterances[part[k]] for k in some]
        groups = [u.corpus for u in utterances]
        if len(set(groups)) < 2:
            groups = [u.speaker for u in utterances]
        if len(set(groups)) < 2:
            raise UserError(
                f"corpus {corpus.name}: one speaker alone would train, and none would choose C",
                "take one with three speakers or more",
            )
        folds = GroupKFold(min(INNER_FOLDS, len(set(groups))))
        tried: dict[float, Doubles] = {}
        for cost in COSTS:
            tried[cost] = np.zeros((len(some), self._labels))
            for learnt, held in folds.split(some, groups=groups):
                inside = some[learnt]
                svc = _learnt(kernel[np.ix_(inside, inside)], targets[inside], cost)
                between = kernel[np.ix_(some[held], inside)]
                tried[cost][held] = _margins(svc, between, self._labels).sum(axis=2)
        right = {c: _ua(logits, targets[some]) for c, logits in tried.items()}
        best = max(COSTS, key=lambda cost: right[cost])
        return best, calibration.temperature(tried[best], targets[some])


def _learnt(kernel: Floats, targets: Ints, cost: float) -> SVC:
    svc = SVC(
        C=cost,
        kernel="precomputed",
        class_weight="balanced",
        decision_function_shape="ovo",
        cache_size=500,
    )
    return svc.fit(kernel, targets)


def _margins(svc: SVC, kernel: Floats, labels: int) -> Doubles:
    """(n, labels, labels); a class that was never learnt loses against all others."""
    learnt = svc.classes_.tolist()
    decisions = svc.decision_function(kernel)
    if len(learnt) == 2:
        decisions = -decisions[:, None]  # with only two classes, positive means the second
    margins = np.zeros((len(kernel), labels, labels))
    for column, (first, second) in enumerate(combinations(learnt, 2)):
        margins[:, first, second] = decisions[:, column]
    unknown = sorted(set(range(labels)) - set(learnt))
    margins[np.ix_(range(len(kernel)), learnt, unknown)] = _SURE
    return margins - margins.transpose(0, 2, 1)


def _ua(logits: Doubles, targets: Ints) -> float:
    return metrics.ua(metrics.confusion(targets, logits.argmax(axis=1), logits.shape[1]))
