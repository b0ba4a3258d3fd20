"""Unseen voices, row by row: the predictions of a model, or of an evaluation's folds, for corpora
that were not trained on, by what is known of each voice and by how it is recorded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from edgeser.errors import UserError
from edgeser.features.front_end import Floats
from edgeser.features.pieces import Pieces
from edgeser.model.model import Model
from edgeser_train.corpora import Corpus
from edgeser_train.corpora.releases import recordings_of
from edgeser_train.evaluation.corpus_evaluator import CorpusEvaluator, Scorer
from edgeser_train.evaluation.enrolment import EARLIER, ENROLMENTS, NOTHING, Enrolment
from edgeser_train.evaluation.folds import FoldResult, kept_folds
from edgeser_train.evaluation.unknown_voice_calibration import UnknownVoiceCalibration, fit
from edgeser_train.evaluation.unseen import FOUR, Predictions, pooled
from edgeser_train.evaluation.unseen_report import ConditionRow, EnrolmentRow, enrolment_row
from edgeser_train.models.scoring import windows_logits
from edgeser_train.training import checkpoint

ENROLMENTS_OF_CONDITIONS = (NOTHING, Enrolment(10, "mostly neutral"))


class Row(NamedTuple):
    """Predictions under one enrolment, by corpus and order, and their metrics."""

    enrolment: Enrolment
    predictions: list[list[Predictions]]
    metrics: EnrolmentRow


class UnseenCorpus(NamedTuple):
    """A corpus in parts, each with a model that was not trained on it: one model, or the folds'.

    Logits are divided by ``temperature``; below a confidence of ``abstain_below`` it abstains.
    """

    parts: list[CorpusEvaluator]
    temperature: float = 1.0
    abstain_below: float = 0.0

    def predictions(self, enrolment: Enrolment, orders: int) -> list[Predictions]:
        """Predictions for each of so many orders, the seeds of ``enrolled_for``."""
        by_part = [part.predictions(enrolment, range(orders)) for part in self.parts]
        return [pooled(parts) for parts in zip(*by_part, strict=True)]

    def under(self, condition: str) -> UnseenCorpus:
        """The same under a listening condition (``sound.conditions``)."""
        return self._replace(parts=[part.under(condition) for part in self.parts])

    @property
    def enrolments(self) -> tuple[Enrolment, ...]:
        """All enrolments that make a difference to these models."""
        return ENROLMENTS if any(part.scorer.learns_voices for part in self.parts) else (NOTHING,)


def check_corpora(corpora: Sequence[Corpus]) -> None:
    """Raises UserError for recordings given twice, which would count their speakers twice."""
    given: dict[str, str] = {}
    for corpus in corpora:
        recordings = recordings_of(corpus.name)
        if recordings in given:
            raise UserError(
                f"--corpus {corpus.name}: its recordings are given already, as {given[recordings]}",
                "give each corpus once, and lists of your own different names",
            )
        given[recordings] = corpus.name


def check_model(model: Model, corpora: Sequence[Corpus]) -> None:
    """Raises UserError for a corpus that the model has learnt from, or that lacks its classes."""
    info = model.info
    for corpus in corpora:
        if recordings_of(corpus.name) in {recordings_of(c) for c in info.training.corpora}:
            raise UserError(
                f"--corpus {corpus.name}: model {info.name} has learnt from it",
                "give corpora that it never met, or the run of a loco",
            )
        _check_classes(corpus, f"model {info.name}", info.labels)


def folds_of_run(run: Path, corpora: Sequence[Corpus]) -> dict[str, list[tuple[FoldResult, Path]]]:
    """The folds of a run by name, each with its results and checkpoints by seed.

    Raises UserError unless the run held out just these corpora, or speakers of the one there is,
    and for a corpus that lacks the run's classes.
    """
    folds: dict[str, list[tuple[FoldResult, Path]]] = defaultdict(list)
    for result, weights in kept_folds(run, several_seeds=True):
        folds[result.fold].append((result, weights))
    names = [corpus.name for corpus in corpora]
    if len(names) > 1 or names[0] in folds:
        for name in names:
            if name not in folds:
                raise UserError(
                    f"--corpus {name}: run {run} has no fold of that name",
                    f"it has {', '.join(folds)}",
                )
        for fold in folds:
            if fold not in names:
                raise UserError(f"run {run}: it holds out {fold}", "give that corpus, too")
        if len(folds) < 2:
            raise UserError(
                f"run {run}: it has one fold", "evaluate --protocol loco leaves one for each corpus"
            )
    else:
        for seeds in folds.values():
            _held_out(run, seeds[0][0], corpora[0])
    _, weights = next(iter(folds.values()))[0]
    for corpus in corpora:
        _check_classes(corpus, f"run {run}", checkpoint.load_origin(weights).labels)
    return folds


def _check_classes(corpus: Corpus, model: str, labels: Sequence[str]) -> None:
    """Raises UserError if a model and a corpus share fewer than two of the four classes."""
    shared = {utterance.label for utterance in corpus.utterances}.intersection(labels, FOUR)
    if len(shared) < 2:
        raise UserError(
            f"--corpus {corpus.name}: it and {model} share {next(iter(shared), 'none')} of "
            f"{', '.join(FOUR)}",
            "two of them are needed; look at --labels",
        )


def unseen_by_model(model: Model, corpora: Sequence[Corpus]) -> list[UnseenCorpus]:
    """Each corpus with the model. Raises UserError as ``check_model`` does."""
    check_model(model, corpora)
    info = model.info
    scorer = Scorer(
        model.logits, tuple(info.labels), info.front_end, info.window, centring=info.centring
    )
    return [
        UnseenCorpus([CorpusEvaluator(corpus, scorer)], info.temperature, info.abstain_below)
        for corpus in corpora
    ]


def unseen_by_folds(
    run: Path, corpora: Sequence[Corpus]
) -> tuple[list[UnseenCorpus], UnknownVoiceCalibration | None]:
    """For a run of ``loco``: each corpus with the fold that held it out, calibrated on the other
    folds; and the calibration fitted on all. For a run that held out speakers of one corpus: that
    corpus, without calibration.

    Raises UserError as ``folds_of_run`` does.
    """
    by_name = {corpus.name: corpus for corpus in corpora}
    folds = folds_of_run(run, corpora)
    if len(corpora) == 1 and corpora[0].name not in folds:
        return [_unseen_speakers(run, corpora[0], list(folds.values()))], None
    parts = [
        _part(by_name[fold], [weights for _, weights in seeds]) for fold, seeds in folds.items()
    ]
    unknown = [part.predictions(NOTHING, [0])[0] for part in parts]
    known = [part.predictions(EARLIER, [0])[0] for part in parts]
    unseen = []
    for own, part in enumerate(parts):
        fitted = fit(unknown[:own] + unknown[own + 1 :], known[:own] + known[own + 1 :])
        if part.scorer.centring is not None:
            centring = fitted.applied(part.scorer.centring, part.scorer.labels)
            part.scorer = replace(part.scorer, centring=centring)
        unseen.append(UnseenCorpus([part], fitted.temperature, fitted.abstain_below))
    return unseen, fit(unknown, known)


def rows_of(unseen: Sequence[UnseenCorpus], orders: int) -> Iterator[Row]:
    """One for each enrolment that makes a difference to the models."""
    for enrolment in unseen[0].enrolments:
        predictions = [corpus.predictions(enrolment, orders) for corpus in unseen]
        yield Row(enrolment, predictions, _metrics(unseen, enrolment, predictions))


def conditions_of(
    unseen: Sequence[UnseenCorpus], conditions: Sequence[str], orders: int
) -> Iterator[ConditionRow]:
    """Metrics by condition, with nothing known of a voice and, where that makes a difference, with
    ten utterances of it under the same condition.
    """
    for condition in conditions:
        changed = [corpus.under(condition) for corpus in unseen]
        for enrolment in ENROLMENTS_OF_CONDITIONS:
            if enrolment in unseen[0].enrolments:
                predictions = [corpus.predictions(enrolment, orders) for corpus in changed]
                yield ConditionRow(condition, _metrics(changed, enrolment, predictions))


def _metrics(
    unseen: Sequence[UnseenCorpus],
    enrolment: Enrolment,
    predictions: Sequence[Sequence[Predictions]],
) -> EnrolmentRow:
    fits = [(corpus.temperature, corpus.abstain_below) for corpus in unseen]
    return enrolment_row(enrolment.name, predictions, fits)


def _unseen_speakers(
    run: Path, corpus: Corpus, folds: Sequence[Sequence[tuple[FoldResult, Path]]]
) -> UnseenCorpus:
    """By folds that each hold out some speakers of one corpus. Raises UserError for others."""
    return UnseenCorpus(
        [
            _part(_held_out(run, seeds[0][0], corpus), [weights for _, weights in seeds])
            for seeds in folds
        ]
    )


def _held_out(run: Path, fold: FoldResult, corpus: Corpus) -> Corpus:
    """The speakers that a fold held out. Raises UserError for a fold that held out others."""
    scored = set(fold.utterances)
    held_out = tuple(u for u in corpus.utterances if u.name in scored)
    if not held_out or {u.speaker for u in held_out} & {
        u.speaker for u in corpus.utterances if u.name not in scored
    }:
        raise UserError(
            f"run {run}: fold {fold.fold} holds out no speakers of {corpus.name}",
            "give the corpus and the --labels of the evaluation",
        )
    return replace(corpus, utterances=held_out)


def _part(corpus: Corpus, seeds: Sequence[Path]) -> CorpusEvaluator:
    """A corpus, and the ensemble of checkpoints that never heard it and differ only in seeds."""
    network, origin = checkpoint.load_together(seeds)
    recipe = origin.recipe

    def score(windows: Sequence[Pieces]) -> Floats:
        return windows_logits(network, windows, recipe.window.pad_frames)

    scorer = Scorer(
        score,
        tuple(origin.labels),
        recipe.front_end,
        recipe.window,
        network.min_frames,
        checkpoint.centring_of(network, origin),
    )
    return CorpusEvaluator(corpus, scorer)
