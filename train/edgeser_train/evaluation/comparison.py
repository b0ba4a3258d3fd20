"""Comparison of evaluations: how significant a difference is on utterances that both scored."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from edgeser.model.artefact import Estimate
from edgeser_train import metrics
from edgeser_train.corpora.releases import recordings_of
from edgeser_train.evaluation import bootstrap
from edgeser_train.evaluation.bootstrap import Counts, Metric
from edgeser_train.evaluation.evaluation import Evaluation, Prediction


class Difference(msgspec.Struct, frozen=True):
    """Second minus first, as a fraction of one, with 95 % intervals.

    These resample utterances, or whole speakers (None with fewer than five).
    """

    over_utterances: Estimate
    over_speakers: Estimate | None


class McNemar(msgspec.Struct, frozen=True):
    """Utterances that only one of the two classifies correctly, and McNemar's exact p-value."""

    only_first_right: int
    only_second_right: int
    p: float


class Comparison(msgspec.Struct, frozen=True):
    """Two evaluations on the utterances that both scored.

    The figures are None where nothing can be compared, ``mcnemar`` also where an utterance has
    several predictions (of seeds, or of folds that share it): these are not independent trials. The
    intervals resample an utterance with all its predictions. ``notes`` say what else differs.
    """

    first: str
    second: str
    utterances: int
    notes: list[str]
    wa: Difference | None = None
    ua: Difference | None = None
    mcnemar: McNemar | None = None


def compare(names: tuple[str, str], first: Evaluation, second: Evaluation) -> Comparison:
    """Compare two evaluations, paired by utterance. ``names``: how to call them."""
    if set(first.labels) != set(second.labels):
        return Comparison(*names, 0, ["other labels: not comparable"])
    a, b = _by_utterance(first), _by_utterance(second)
    shared = sorted(a.keys() & b.keys())
    if not shared:
        return Comparison(*names, 0, ["no utterance was scored by both: not comparable"])
    if any(first.labels[a[u][0].target] != second.labels[b[u][0].target] for u in shared):
        return Comparison(*names, 0, ["the same utterances have other labels: not comparable"])
    notes = _differences(first, second)
    if len(shared) < max(len(a), len(b)):
        notes.insert(
            0, f"only the {len(shared)} utterances in both count, of {len(a)} and {len(b)}"
        )
    order = [second.labels.index(label) for label in first.labels]
    one, other = _counts(a, shared, list(range(len(order)))), _counts(b, shared, order)
    speakers = [a[u][0].speaker for u in shared]
    return Comparison(
        *names,
        len(shared),
        notes,
        _difference(metrics.was, one, other, speakers),
        _difference(metrics.uas, one, other, speakers),
        _mcnemar(one, other),
    )


def _difference(metric: Metric, one: Counts, other: Counts, speakers: list[str]) -> Difference:
    enough = len(set(speakers)) >= bootstrap.FEWEST_SPEAKERS
    return Difference(
        bootstrap.difference(metric, one, other),
        bootstrap.difference(metric, _grouped(one, speakers), _grouped(other, speakers))
        if enough
        else None,
    )


def _by_utterance(evaluation: Evaluation) -> dict[str, list[Prediction]]:
    """Predictions for each utterance by its corpus's recordings and its name, e.g. "ravdess:...".

    In a merged corpus, utterances already have that prefix.
    """
    sources = tuple(f"{recordings_of(name)}:" for name in evaluation.corpus.split("+"))
    merged = len(sources) > 1 and all(a.utterance.startswith(sources) for a in evaluation.answers)
    before = "" if merged else f"{recordings_of(evaluation.corpus)}:"
    found: dict[str, list[Prediction]] = {}
    for prediction in evaluation.answers:
        found.setdefault(before + prediction.utterance, []).append(prediction)
    return found


def _differences(first: Evaluation, second: Evaluation) -> list[str]:
    """What else differs between the two, in words."""
    notes = []
    for name in ("protocol", "part", "corpus", "chosen_on"):
        one, other = getattr(first, name), getattr(second, name)
        if one != other:
            notes.append(f"{name.replace('_', ' ')}: {one}, {other}")
    if first.speaker_independent != second.speaker_independent:
        notes.append("only one of them is speaker-independent: not a comparison of models")
    return notes


def _counts(
    predictions: dict[str, list[Prediction]], shared: Sequence[str], order: list[int]
) -> Counts:
    """Counts (seeds, utterances, labels, labels); their label k is ``order[k]`` in predictions."""
    rows = [p for name in shared for p in predictions[name]]
    units = [name for name in shared for _ in predictions[name]]
    predicted = np.array([row.predicted for row in rows], np.int64)
    targets = np.array([row.target for row in rows], np.int64)
    counts = bootstrap.tables(units, targets, predicted, len(order))
    return counts[:, :, order][:, :, :, order]


def _grouped(counts: Counts, speakers: list[str]) -> Counts:
    """The same counts by speaker."""
    names, place = np.unique(speakers, return_inverse=True)
    member = np.zeros((len(names), len(speakers)))
    member[place, np.arange(len(speakers))] = 1
    grouped: Counts = np.einsum("gu,sukl->sgkl", member, counts)
    return grouped


def _mcnemar(first: Counts, second: Counts) -> McNemar | None:
    if any(len(c) > 1 or c.sum(axis=(2, 3)).max() > 1 for c in (first, second)):
        return None
    one, other = (np.trace(c[0], axis1=1, axis2=2) > 0 for c in (first, second))
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    return McNemar(only_first, only_second, metrics.mcnemar(only_first, only_second))
