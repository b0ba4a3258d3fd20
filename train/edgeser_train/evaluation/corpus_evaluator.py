"""A model's predictions for a corpus of unseen voices, by how much it knows of each voice.

A corpus is scored several times: with no baseline, and with baselines of other utterances, of the
same speaker unless the enrolment says otherwise, drawn anew for every utterance. Where logits are
centred by voice, it is by the mean logits of those utterances, each with a baseline of its own, of
the same kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from edgeser.features import Baseline, FrontEnd, WindowPolicy
from edgeser.features.baseline import no_baseline
from edgeser.features.front_end import Floats
from edgeser.features.pieces import Pieces, pieces_of
from edgeser.model.centring import Centring
from edgeser_train.corpora import Corpus
from edgeser_train.evaluation.enrolment import Enrolment, enrolled_for
from edgeser_train.evaluation.unseen import Predictions
from edgeser_train.metrics import Doubles
from edgeser_train.models.scoring import frames_of
from edgeser_train.sound.conditions import under

Score: TypeAlias = Callable[[Sequence[Pieces]], Floats]
"""Windows, each a list of pieces, to logits (windows, labels) not yet centred."""

_AT_ONCE = 8
"""Windows of similar length in one batch; with more, memory slows a CPU down."""


@dataclass(frozen=True)
class Scorer:
    """A model as it is scored: what it hears, its logits, and how they are centred by voice, if
    they are.
    """

    score: Score
    labels: tuple[str, ...]
    front_end: FrontEnd
    window: WindowPolicy
    min_frames: int = 1
    centring: Centring | None = None

    @property
    def learns_voices(self) -> bool:
        """Whether it makes a difference to it what is known of a voice."""
        return self.centring is not None or self.front_end.learns_voices


class CorpusEvaluator:
    """A corpus, its frames computed once, to be scored against any baselines."""

    def __init__(self, corpus: Corpus, scorer: Scorer, condition: str = "clean") -> None:
        """Utterances of classes that the model lacks are used in baselines only. ``condition``: the
        listening condition of all recordings (``sound.conditions``).

        Raises UserError for a file that cannot be read.
        """
        self.corpus = corpus
        self.scorer = scorer
        self.frames = [
            frames_of(under(condition, u.samples(), i), scorer.front_end, scorer.min_frames)
            for i, u in enumerate(corpus.utterances)
        ]
        self.spectra = [scorer.front_end.heard(frames) for frames in self.frames]
        self.scored = [i for i, u in enumerate(corpus.utterances) if u.label in scorer.labels]
        self._alone: Floats | None = None
        """Logits that no baseline can change."""

    def under(self, condition: str) -> CorpusEvaluator:
        """The same corpus, for the same model, under another condition."""
        return CorpusEvaluator(self.corpus, self.scorer, condition)

    def predictions(self, enrolment: Enrolment, orders: Iterable[int]) -> list[Predictions]:
        """Predictions for each of the ``orders``, the seeds of ``enrolled_for``."""
        labels, scored = self.scorer.labels, [self.corpus.utterances[i] for i in self.scored]
        targets = np.array([labels.index(u.label) for u in scored])
        speakers = tuple(u.speaker for u in scored)
        return [
            Predictions(self.corpus.name, labels, self._logits(enrolment, order), targets, speakers)
            for order in orders
        ]

    def _logits(self, enrolment: Enrolment, order: int) -> Doubles:
        centring = self.scorer.centring
        enrolled = list(enrolled_for(self.corpus, enrolment, order))
        rows = self._rows(enrolled)
        if centring is None:
            return rows[self.scored].astype(np.float64)
        of_known, known = enrolment.of_those_known, rows
        if of_known != enrolment:
            known = self._rows(list(enrolled_for(self.corpus, of_known, order)))
        centred = []
        for i in self.scored:
            baseline = no_baseline(len(self.scorer.labels))
            for k in enrolled[i]:
                baseline = centring.updated(baseline, known[k], len(self.frames[k]))
            centred.append(centring.centred(rows[i], baseline))
        return np.stack(centred).astype(np.float64)

    def _rows(self, enrolled: Sequence[Sequence[int]]) -> Floats:
        """Logits (utterances, labels) with baselines of what is enrolled, not yet centred."""
        if self._alone is not None:
            return self._alone
        front_end, window = self.scorer.front_end, self.scorer.window
        rows = np.zeros((len(self.frames), len(self.scorer.labels)), np.float32)
        # Enrolled utterances may be of classes that are not scored.
        needed = self.scored if self.scorer.centring is None else list(range(len(self.frames)))
        by_length = sorted(needed, key=lambda i: len(self.frames[i]))
        for first in range(0, len(by_length), _AT_ONCE):
            some = by_length[first : first + _AT_ONCE]
            rows[some] = self.scorer.score(
                [
                    pieces_of(self.frames[i], front_end, window, self._baseline(enrolled[i]))
                    for i in some
                ]
            )
        if not front_end.learns_voices:
            self._alone = rows
        return rows

    def _baseline(self, enrolled: Sequence[int]) -> Baseline:
        front_end = self.scorer.front_end
        baseline = no_baseline(front_end.bins)
        for k in enrolled:
            baseline = baseline.updated(self.spectra[k], front_end.baseline_frames)
        return baseline
