"""What an evaluation found, as data: the content of report.json but for the recipe."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from edgeser.model.artefact import Estimate

FORMAT = 2
"""Of report.json; another one is not read."""

ChosenOn: TypeAlias = Literal["last epoch", "validation UA"]


class FoldRow(msgspec.Struct, frozen=True):
    """Figures of one fold, as fractions of one, averaged over the seeds.

    ``lacking``: labels that the scored part has no example of; UA leaves them out.
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
    """Folds' models that one commit of the code trained to their end on one day.

    ``commit`` ends in "+" where the code had changes, and is "unknown" where nothing tells.
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
    """What becomes of the figures in a listening condition; ``changed``: share of other labels."""

    condition: str
    wa: float
    ua: float
    changed: float


class Curve(msgspec.Struct, frozen=True):
    """The training of one fold's model: mean loss and, where watched, validation UA by epoch.

    ``chosen_epoch`` counts from 1: that of the weights which were scored.
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
    """Everything that ``report.md`` tells, for programs.

    ``wa``, ``ua`` and ``f1`` pool the answers of all folds and average over the seeds; their
    intervals resample utterances, those of ``by_speaker`` whole speakers (None with fewer than
    five). ``confusion`` sums over the seeds. ``ece_after`` is of scores whose temperature comes
    from what ``calibrated_on`` names; ``temperature`` is fitted on all answers, for the model that
    ships. ``answered`` is the share of answers at or above ``abstain_below``, ``answered_wa`` the
    accuracy on them. ``folds_left_out``: of the protocol, but not evaluated.

    ``trained``: when and by what code, empty in reports that are older than it; ``precision``: in
    which numbers, "bf16" or "fp32", "" where that is not known; ``date``,
    ``commit``, ``machine`` and ``versions`` are those of the report's writing. ``taught_by`` and
    ``started_from`` name checkpoints or runs. ``ancestors_known``: False where it is not known
    whether these have heard the speakers that are scored; nothing is ``speaker_independent`` then.
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
