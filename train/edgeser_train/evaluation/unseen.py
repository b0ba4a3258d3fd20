"""Figures of predictions for unseen voices and corpora; all corpora have the same weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from edgeser.errors import UserError
from edgeser.model.affect import COORDINATES
from edgeser.model.artefact import Estimate
from edgeser.model.decision import softmax
from edgeser_train import metrics
from edgeser_train.evaluation import bootstrap
from edgeser_train.metrics import Doubles, Ints

FOUR = ("angry", "happy", "neutral", "sad")
HIGH, LOW = ("angry", "fearful", "happy"), ("neutral", "calm", "sad")
POSITIVE, NEGATIVE = ("happy",), ("angry", "disgusted", "fearful", "sad")
_RESAMPLES = 1000


@dataclass(frozen=True)
class Predictions:
    """Logits (n, labels) of n utterances; ``targets`` (n,) index ``labels``."""

    corpus: str
    labels: tuple[str, ...]
    logits: Doubles
    targets: Ints
    speakers: tuple[str, ...]

    def among(self, wanted: Sequence[str]) -> Predictions:
        """Those of the ``wanted`` classes that the corpus has, with no other class to choose."""
        there = [k for k in np.unique(self.targets).tolist() if self.labels[k] in wanted]
        rows = np.isin(self.targets, there)
        return Predictions(
            self.corpus,
            tuple(self.labels[k] for k in there),
            self.logits_of(there)[rows],
            np.searchsorted(there, self.targets[rows]),
            tuple(np.array(self.speakers)[rows].tolist()),
        )

    def logits_of(self, classes: Sequence[int]) -> Doubles:
        """Logits (n, classes) of some classes alone."""
        return self.logits[:, classes]

    @property
    def confusion(self) -> Ints:
        """Counts (labels, labels): rows are true labels, columns predicted ones."""
        return metrics.confusion(self.targets, self.logits.argmax(axis=1), len(self.labels))


def pooled(parts: Sequence[Predictions]) -> Predictions:
    """Predictions for parts of one corpus as predictions for all of it."""
    return Predictions(
        parts[0].corpus,
        parts[0].labels,
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.targets for part in parts]),
        tuple(speaker for part in parts for speaker in part.speakers),
    )


class Metrics(msgspec.Struct, frozen=True):
    """Metrics of one corpus, or the mean of several, as fractions of one.

    ``ua4``: mean recall of angry, happy, neutral and sad, with no other classes to choose from;
    ``ua``: of all classes that model and corpus share. ``arousal_ua``: angry, fearful, happy
    against neutral, calm, sad by the sums of their scores. ``arousal_auc`` and ``valence_auc``:
    of the projections, happy against angry, disgusted, fearful and sad for the latter. ``ece``,
    ``answered`` and ``answered_wa`` are with the model's own temperature and threshold. nan where
    a corpus lacks the classes.
    """

    ua4: float
    ua: float
    arousal_ua: float
    arousal_auc: float
    valence_auc: float
    ece: float
    answered: float
    answered_wa: float


def metrics_of(predictions: Predictions, temperature: float, abstain_below: float) -> Metrics:
    """Metrics of one corpus. ``abstain_below``: a confidence in [0, 1)."""
    scores = softmax(predictions.logits / temperature)
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == predictions.targets
    answered = confidence >= abstain_below
    valence, arousal = _projected(scores, predictions.labels)
    names = np.array(predictions.labels)[predictions.targets]
    high, low = np.isin(names, HIGH), np.isin(names, LOW)
    return Metrics(
        ua4=float(_ua(predictions, FOUR)),
        ua=float(_ua(predictions, predictions.labels)),
        arousal_ua=float(_arousal_ua(predictions)),
        arousal_auc=auc(arousal[high], arousal[low]),
        valence_auc=auc(valence[np.isin(names, POSITIVE)], valence[np.isin(names, NEGATIVE)]),
        ece=metrics.ece(scores, predictions.targets),
        answered=float(answered.mean()),
        answered_wa=float(right[answered].mean()) if answered.any() else float("nan"),
    )


def mean_of(of_corpora: Sequence[Metrics]) -> Metrics:
    """The mean over corpora, equally weighted; a corpus whose metric is nan is left out of it."""
    rows = np.array([[getattr(m, name) for name in Metrics.__struct_fields__] for m in of_corpora])
    there = ~np.isnan(rows)
    sums = np.where(there, rows, 0.0).sum(axis=0)
    counts = there.sum(axis=0)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return Metrics(*means.tolist())


def ua_interval(corpora: Sequence[Predictions], wanted: Sequence[str] | None = None) -> Estimate:
    """Mean over corpora of the UA among classes (by default all), and its 95 % interval.

    Speakers are resampled within each corpus.
    """
    value = float(
        np.mean([_ua(predictions, wanted or predictions.labels) for predictions in corpora])
    )
    low, high = np.quantile(_resampled(corpora, wanted), (0.025, 0.975))
    return Estimate(value, float(low), float(high))


def ua_gain(
    corpora: Sequence[Predictions],
    before: Sequence[Predictions],
    wanted: Sequence[str] | None = None,
) -> Estimate:
    """How much higher the UA is than that of another model on the same utterances, with its 95 %
    interval: paired, the same speakers are drawn for both. Without ``wanted``, of the classes that
    both models know.

    Raises UserError if the two did not score the same utterances.
    """
    wanted = wanted or [label for label in corpora[0].labels if label in before[0].labels]
    by_name = {predictions.corpus: predictions for predictions in before}
    if [_asked(a, wanted) for a in corpora] != [
        _asked(by_name[a.corpus], wanted) if a.corpus in by_name else None for a in corpora
    ]:
        raise UserError(
            "--beside: the two models have not scored the same utterances",
            "give both the same corpora, whole",
        )
    before = [by_name[predictions.corpus] for predictions in corpora]
    value = ua_interval(corpora, wanted).value - ua_interval(before, wanted).value
    draws = _resampled(corpora, wanted) - _resampled(before, wanted)
    low, high = np.quantile(draws, (0.025, 0.975))
    return Estimate(value, float(low), float(high))


def _asked(predictions: Predictions, wanted: Sequence[str]) -> list[tuple[str, str]]:
    """Class and speaker of each utterance of the classes wanted."""
    chosen = predictions.among(wanted)
    classes = (chosen.labels[k] for k in chosen.targets)
    return list(zip(classes, chosen.speakers, strict=True))


def _resampled(corpora: Sequence[Predictions], wanted: Sequence[str] | None) -> Doubles:
    """Mean UA (draws,) with speakers drawn with replacement; equal corpora get equal draws."""
    rng = np.random.default_rng(0)
    draws = np.zeros(_RESAMPLES)
    for predictions in corpora:
        chosen = predictions.among(wanted or predictions.labels)
        predicted = chosen.logits.argmax(axis=1)[:, None]
        (counts,) = bootstrap.tables(chosen.speakers, chosen.targets, predicted, len(chosen.labels))
        units = len(counts)
        drawn = rng.multinomial(units, np.full(units, 1 / units), _RESAMPLES).astype(np.float64)
        draws += metrics.uas(np.tensordot(drawn, counts, 1)) / len(corpora)
    return draws


def auc(positive: Doubles, negative: Doubles) -> float:
    """Probability that a positive is above a negative, a tie counting half; nan without either."""
    if not len(positive) or not len(negative):
        return float("nan")
    values, place = np.unique(np.concatenate((positive, negative)), return_inverse=True)
    counts = np.bincount(place, minlength=len(values))
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    above = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(above / (len(positive) * len(negative)))


def _ua(predictions: Predictions, wanted: Sequence[str]) -> float:
    return metrics.ua(predictions.among(wanted).confusion)


def _arousal_ua(predictions: Predictions) -> float:
    """UA of high against low arousal, by the scores of the classes that the corpus has."""
    chosen = predictions.among((*HIGH, *LOW))
    high = np.array([label in HIGH for label in chosen.labels], dtype=bool)
    if high.all() or not high.any():
        return float("nan")
    scores = softmax(chosen.logits)
    predicted = scores[:, high].sum(axis=1) > scores[:, ~high].sum(axis=1)
    return metrics.ua(metrics.confusion(high[chosen.targets].astype(int), predicted.astype(int), 2))


def _projected(scores: Doubles, labels: Sequence[str]) -> tuple[Doubles, Doubles]:
    """Valence and arousal (n,) of scores (n, labels)."""
    places = np.array([COORDINATES[label] for label in labels])
    projected = scores @ places
    return projected[:, 0], projected[:, 1]
