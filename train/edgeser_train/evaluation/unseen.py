"""A model's predictions for unseen voices and corpora, by how much it knows of each voice.

A corpus is scored several times: with no baseline, and with baselines of other utterances, of the
same speaker unless the enrolment says otherwise, drawn anew for every utterance. Where logits are
centred by voice, it is by the mean logits of those utterances, each with a baseline of its own, of
the same kind. All corpora have the same weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from edgeser.errors import UserError
from edgeser.features import Baseline, FrontEnd, WindowPolicy
from edgeser.features.baseline import no_baseline
from edgeser.features.front_end import Floats
from edgeser.features.pieces import Pieces, pieces_of
from edgeser.model.affect import COORDINATES
from edgeser.model.artefact import Estimate
from edgeser.model.centring import Centring
from edgeser.model.decision import softmax
from edgeser_train import metrics
from edgeser_train.corpora import Corpus
from edgeser_train.evaluation.enrolment import Enrolment, enrolled_for
from edgeser_train.metrics import Doubles, Ints
from edgeser_train.models.scoring import frames_of
from edgeser_train.sound.conditions import under

Score: TypeAlias = Callable[[Sequence[Pieces]], Floats]
"""Windows, each a list of pieces, to logits (windows, labels) not yet centred."""

FOUR = ("angry", "happy", "neutral", "sad")
HIGH, LOW = ("angry", "fearful", "happy"), ("neutral", "calm", "sad")
POSITIVE, NEGATIVE = ("happy",), ("angry", "disgusted", "fearful", "sad")
_RESAMPLES = 1000
_AT_ONCE = 8
"""Windows of similar length in one batch; with more, memory slows a CPU down."""


@dataclass(frozen=True)
class Predictions:
    """Logits (n, labels) of n utterances; ``targets`` (n,) index ``labels``."""

    corpus: str
    labels: tuple[str, ...]
    logits: Doubles
    targets: Ints
    speakers: tuple[str, ...]

    def among(self, wanted: Sequence[str]) -> tuple[Doubles, Ints, npt.NDArray[np.bool_]]:
        """Logits and targets restricted to those ``wanted`` classes that the corpus has, and a mask
        of the rows kept.
        """
        there = [k for k in np.unique(self.targets).tolist() if self.labels[k] in wanted]
        rows = np.isin(self.targets, there)
        return self.logits[rows][:, there], np.searchsorted(there, self.targets[rows]), rows


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
    classes = (predictions.labels[k] for k in predictions.targets)
    asked = zip(classes, predictions.speakers, strict=True)
    return [(label, speaker) for label, speaker in asked if label in wanted]


def _resampled(corpora: Sequence[Predictions], wanted: Sequence[str] | None) -> Doubles:
    """Mean UA (draws,) with speakers drawn with replacement; equal corpora get equal draws."""
    rng = np.random.default_rng(0)
    draws = np.zeros(_RESAMPLES)
    for predictions in corpora:
        logits, targets, rows = predictions.among(wanted or predictions.labels)
        speakers = np.array(predictions.speakers)[rows]
        units = np.unique(speakers)
        labels = logits.shape[1]
        counts = np.stack(
            [
                metrics.confusion(targets[who], logits[who].argmax(axis=1), labels)
                for who in (speakers == unit for unit in units)
            ]
        ).astype(np.float64)
        drawn = rng.multinomial(len(units), np.full(len(units), 1 / len(units)), _RESAMPLES)
        draws += metrics.uas(np.tensordot(drawn.astype(np.float64), counts, 1)) / len(corpora)
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


class CorpusEvaluator:
    """A corpus, its frames computed once, to be scored against any baselines."""

    def __init__(
        self,
        corpus: Corpus,
        labels: Sequence[str],
        front_end: FrontEnd,
        window: WindowPolicy,
        min_frames: int = 1,
        centring: Centring | None = None,
        condition: str = "clean",
    ) -> None:
        """``labels``: the model's; utterances of other classes are used in baselines only.
        ``centring``: how the model's logits are centred by voice, if they are. ``condition``: the
        listening condition of all recordings (``sound.conditions``).

        Raises UserError for a file that cannot be read.
        """
        self.corpus = corpus
        self.labels = tuple(labels)
        self.front_end = front_end
        self.window = window
        self.min_frames = min_frames
        self.centring = centring
        self.frames = [
            frames_of(under(condition, u.samples(), i), front_end, min_frames)
            for i, u in enumerate(corpus.utterances)
        ]
        self.spectra = [front_end.heard(frames) for frames in self.frames]
        self.scored = [i for i, u in enumerate(corpus.utterances) if u.label in labels]
        self._alone: tuple[Score, Floats] | None = None  # logits that no baseline can change

    def under(self, condition: str) -> CorpusEvaluator:
        """The same corpus, for the same model, under another condition."""
        return CorpusEvaluator(
            self.corpus,
            self.labels,
            self.front_end,
            self.window,
            self.min_frames,
            self.centring,
            condition,
        )

    def predictions(
        self, score: Score, enrolment: Enrolment, orders: Iterable[int]
    ) -> list[Predictions]:
        """Predictions for each of the ``orders``, the seeds of ``enrolled_for``."""
        targets = np.array(
            [self.labels.index(self.corpus.utterances[i].label) for i in self.scored]
        )
        speakers = tuple(self.corpus.utterances[i].speaker for i in self.scored)
        name = self.corpus.name
        return [
            Predictions(name, self.labels, self._logits(score, enrolment, order), targets, speakers)
            for order in orders
        ]

    def _logits(self, score: Score, enrolment: Enrolment, order: int) -> Doubles:
        enrolled = list(enrolled_for(self.corpus, enrolment, order))
        rows = self._rows(score, enrolled)
        if self.centring is None:
            return rows[self.scored].astype(np.float64)
        of_known, known = enrolment.of_those_known, rows
        if of_known != enrolment:
            known = self._rows(score, list(enrolled_for(self.corpus, of_known, order)))
        centred = []
        for i in self.scored:
            baseline = no_baseline(len(self.labels))
            for k in enrolled[i]:
                baseline = self.centring.updated(baseline, known[k], len(self.frames[k]))
            centred.append(self.centring.centred(rows[i], baseline))
        return np.stack(centred).astype(np.float64)

    def _rows(self, score: Score, enrolled: Sequence[Sequence[int]]) -> Floats:
        """Logits (utterances, labels) with baselines of what is enrolled, not yet centred."""
        if self._alone is not None and self._alone[0] == score:
            return self._alone[1]
        rows = np.zeros((len(self.frames), len(self.labels)), np.float32)
        # Enrolled utterances may be of classes that are not scored.
        needed = self.scored if self.centring is None else list(range(len(self.frames)))
        by_length = sorted(needed, key=lambda i: len(self.frames[i]))
        for first in range(0, len(by_length), _AT_ONCE):
            some = by_length[first : first + _AT_ONCE]
            windows = [
                pieces_of(self.frames[i], self.front_end, self.window, self._baseline(enrolled[i]))
                for i in some
            ]
            rows[some] = score(windows)
        if not self.front_end.learns_voices:
            self._alone = score, rows
        return rows

    def _baseline(self, enrolled: Sequence[int]) -> Baseline:
        baseline = no_baseline(self.front_end.bins)
        for k in enrolled:
            baseline = baseline.updated(self.spectra[k], self.front_end.baseline_frames)
        return baseline


def _ua(predictions: Predictions, wanted: Sequence[str]) -> float:
    logits, targets, _ = predictions.among(wanted)
    return metrics.ua(metrics.confusion(targets, logits.argmax(axis=1), logits.shape[1]))


def _arousal_ua(predictions: Predictions) -> float:
    """UA of high against low arousal, by the scores of the classes that the corpus has."""
    logits, targets, _ = predictions.among((*HIGH, *LOW))
    there = [
        k for k in np.unique(predictions.targets).tolist() if predictions.labels[k] in (*HIGH, *LOW)
    ]
    high = np.array([predictions.labels[k] in HIGH for k in there], dtype=bool)
    if high.all() or not high.any():
        return float("nan")
    scores = softmax(logits)
    predicted = scores[:, high].sum(axis=1) > scores[:, ~high].sum(axis=1)
    return metrics.ua(metrics.confusion(high[targets].astype(int), predicted.astype(int), 2))


def _projected(scores: Doubles, labels: Sequence[str]) -> tuple[Doubles, Doubles]:
    """Valence and arousal (n,) of scores (n, labels)."""
    places = np.array([COORDINATES[label] for label in labels])
    projected = scores @ places
    return projected[:, 0], projected[:, 1]
