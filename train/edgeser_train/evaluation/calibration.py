"""Calibration of confidence: a temperature, and a threshold below which to abstain."""

from __future__ import annotations

import numpy as np
import torch

from edgeser.model.decision import softmax
from edgeser_train.metrics import Doubles, Ints

_MIN_TEMPERATURE = 0.25
_TYPICAL_MAX = 4.0
_MAX_TEMPERATURE = 1000.0
_PRECISION = 1e-3
_FEWEST = 8
_CAUTION = 0.01
"""L2 penalty on the shift: a shift of one in a label must gain this much cross-entropy."""
_HIGHEST = 0.99


def temperature(logits: Doubles, targets: Ints) -> float:
    """The T in [1/4, 1000] with the least cross-entropy of softmax(logits / T), to 0.1 %.

    Guo et al. 2017, section 4.2. Logits that are sums over many frames, as of CTC, need a high one;
    the lower bound is for predictions that are all correct, whose best T would be 0.
    """
    typical = _best(logits, targets, _MIN_TEMPERATURE, _TYPICAL_MAX)
    if not _reaches(typical, _TYPICAL_MAX):
        return typical
    return _best(logits, targets, _TYPICAL_MAX, _MAX_TEMPERATURE)


def shifted(logits: Doubles, targets: Ints, weights: Doubles) -> tuple[float, Doubles]:
    """T and shift (labels,) with the least cross-entropy of softmax(logits / T + shift).

    Bias-corrected temperature scaling (Alexandari et al. 2020). ``weights`` (n,) of predictions;
    the shift has mean zero and is penalised, so that a few predictions cannot change it much.
    """
    x, y, w = torch.tensor(logits), torch.tensor(targets), torch.tensor(weights / weights.sum())
    inverse = torch.ones((), dtype=torch.float64, requires_grad=True)
    free = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([inverse, free], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        each = torch.nn.functional.cross_entropy(inverse * x + free, y, reduction="none")
        total = (w * each).sum() + _CAUTION * (free**2).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    search.step(loss)  # type: ignore[no-untyped-call]
    shift: Doubles = (free - free.mean()).detach().numpy()
    return 1 / max(float(inverse.detach()), 1 / _MAX_TEMPERATURE), shift


def at_bound(temperature: float) -> bool:
    """Whether a temperature outside the allowed range would have fitted better."""
    return _reaches(temperature, _MIN_TEMPERATURE) or _reaches(temperature, _MAX_TEMPERATURE)


def _reaches(temperature: float, bound: float) -> bool:
    return bool(abs(np.log(temperature / bound)) <= _PRECISION)


def _best(logits: Doubles, targets: Ints, least: float, most: float) -> float:
    """The loss is convex in 1 / T: a golden-section search finds its minimum."""
    low, high = np.log(least), np.log(most)
    golden = (np.sqrt(5) - 1) / 2
    while high - low > _PRECISION:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _loss(logits, targets, left) < _loss(logits, targets, right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def cross_fitted(logits: Doubles, targets: Ints, groups: Ints) -> Doubles:
    """Scores of each group under the temperature of all *other* groups, (utterances, labels)."""
    scores = np.empty_like(logits)
    for group in np.unique(groups):
        held = groups == group
        others = ~held if (~held).any() else held
        scores[held] = softmax(logits[held] / temperature(logits[others], targets[others]))
    return scores


def abstention(scores: Doubles, targets: Ints) -> float:
    """The confidence below which at most half of the predictions are correct.

    The highest such threshold up to 0.99 with at least 8 predictions below it; 0 if there is none.
    """
    confidence = scores.max(axis=1)
    order = np.argsort(confidence)
    right = (scores.argmax(axis=1) == targets)[order]
    accuracy_up_to = np.cumsum(right) / np.arange(1, len(right) + 1)
    poor = np.flatnonzero(accuracy_up_to <= 0.5)
    poor = poor[poor >= _FEWEST - 1]
    if not len(poor):
        return 0.0
    return min(_HIGHEST, float(np.floor(confidence[order[poor[-1]]] * 100 + 1) / 100))


def _loss(logits: Doubles, targets: Ints, log_temperature: float) -> float:
    scores = softmax(logits / np.exp(log_temperature))
    return float(-np.log(np.maximum(scores[np.arange(len(targets)), targets], 1e-300)).mean())
