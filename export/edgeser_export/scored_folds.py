"""The folds of an evaluation, with their models and the utterances these were scored on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus, Utterance
from edgeser_train.evaluation.folds import FoldResult, kept_folds
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.training import checkpoint
from edgeser_train.training.checkpoint import Origin


@dataclass(frozen=True)
class ScoredFold:
    """``utterances``: those of ``result``, in its order."""

    result: FoldResult
    model: SpeechModel
    origin: Origin
    utterances: list[Utterance]


def scored_folds(run: Path, corpus: Corpus) -> Iterator[ScoredFold]:
    """Every fold that ``edgeser evaluate`` has kept in ``run``, one by one.

    Raises UserError unless they are of one plan, one seed and this corpus.
    """
    utterance = {u.name: u for u in corpus.utterances}
    for result, weights in kept_folds(run):
        model, origin = checkpoint.load(weights)
        known = utterance.keys() >= set(result.utterances)
        if not known or origin.labels != list(corpus.labels):
            raise UserError(
                f"run {run}: fold {result.fold} has other utterances or labels than {corpus.name}",
                "give the corpus that was evaluated",
            )
        yield ScoredFold(result, model, origin, [utterance[name] for name in result.utterances])
