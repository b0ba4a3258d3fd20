"""The results of an evaluation, as data: the content of report.json without the recipe."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from edgeser.model.artefact import Estimate

FORMAT = 2
"""Of report.json; other formats are not read."""

ChosenOn: TypeAlias = Literal["last epoch", "validation UA"]


class FoldRow(msgspec.Struct, frozen=True):
    """Figures of one fold, as fractions of one, averaged over the seeds.

    ``lacking``: labels of which the scored part has no example; UA leaves them out.
    """

    fold: str
    speakers: list[str]
    utterances: int
    wa: float
    ua: float
    f1: float
    seconds: float
    lacking: list[str] = []


class SeedRow(msgspec.Struct, frozen=True):
    """Figures of one seed, all folds pooled."""

    seed: int
    wa: float
    ua: float
    f1: float


class Training(msgspec.Struct, frozen=True):
    """How many of the folds' models one commit of the code finished training on one day.

    ``commit`` ends in "+" if the code had uncommitted changes, and may be "unknown".
    """

    commit: str
    date: str
    models: int


class CorpusRow(msgspec.Struct, frozen=True):
    """Figures of the utterances of one corpus, averaged over the seeds."""

    corpus: str
    speakers: int
    utterances: int
    wa: Estimate
    ua: Estimate
    f1: Estimate


class ConditionRow(msgspec.Struct, frozen=True):
    """Figures under a listening condition; ``changed``: share of predictions that differ from the
    first condition's.
    """

    condition: str
    wa: float
    ua: float
    changed: float


class Curve(msgspec.Struct, frozen=True):
    """The training of one fold's model: mean loss and, where watched, validation UA by epoch.

    ``chosen_epoch``: the epoch of the scored weights, counted from 1.
    """

    fold: str
    seed: int
    losses: list[float]
    validation: list[float]
    chosen_epoch: int


class Prediction(msgspec.Struct, frozen=True, array_like=True):
    """What was predicted for an utterance in a fold: one label index and confidence for each seed.

    ``confidence``: score of the winning label, calibrated as ``Evaluation.calibrated_on`` says.
    """

    utterance: str
    speaker: str
    fold: str
    target: int
    predicted: list[int]
    confidence: list[float]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``report.md``, for programs.

    ``wa``, ``ua`` and ``f1`` pool the predictions of all folds and average over the seeds; their
    intervals resample utterances, those of ``by_speaker`` whole speakers (None with fewer than
    five). ``confusion`` sums over the seeds. ``ece_after`` is of scores whose temperature was
    fitted on what ``calibrated_on`` names; ``temperature`` is fitted on all predictions, for the
    model that ships. ``answered`` is the share of predictions with a confidence of at least
    ``abstain_below``, ``answered_wa`` the accuracy on them. ``folds_left_out``: the protocol's
    folds that were not evaluated.

    ``trained``: when and by what code, empty in older reports; ``precision``: of the training,
    "bf16" or "fp32", "" if unknown; ``date``, ``commit``, ``machine`` and ``versions`` are those of
    writing the report. ``taught_by`` and ``started_from`` name checkpoints or runs.
    ``ancestors_known``: False if it is not known whether these have heard the speakers that are
    scored; ``speaker_independent`` is False then.
    """

    format: int
    model: str
    corpus: str
    corpora: list[str]
    licence: str
    protocol: str
    description: str
    speaker_independent: bool
    part: str
    chosen_on: ChosenOn
    seeds: list[int]
    data_seed: int
    taught_by: list[str]
    command: str
    date: str
    commit: str
    machine: str
    versions: dict[str, str]
    parameters: int
    labels: list[str]
    utterances: int
    speakers: int
    wa: Estimate
    ua: Estimate
    f1: Estimate
    by_speaker: dict[str, Estimate] | None
    fold_mean_wa: float
    fold_mean_ua: float
    recalls: list[float]
    confusion: list[list[int]]
    folds: list[FoldRow]
    folds_left_out: list[str]
    by_seed: list[SeedRow]
    by_corpus: list[CorpusRow]
    conditions: list[ConditionRow]
    temperature: float
    calibrated_on: str
    ece_before: float
    ece_after: float
    abstain_below: float
    answered: float
    answered_wa: float
    curves: list[Curve]
    answers: list[Prediction]
    trained: list[Training] = []
    started_from: str = ""
    ancestors_known: bool = True
    precision: str = ""
