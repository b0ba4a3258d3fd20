"""Comparison of a model's precisions: accuracy lost, time gained, and which may ship."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeser.commit import commit
from edgeser.features.front_end import Floats
from edgeser.features.pieces import batch_of
from edgeser.model.artefact import Estimate, Precision
from edgeser.model.decision import softmax
from edgeser.onnx_session import open_session
from edgeser_export.calibration import pieces_of_some
from edgeser_export.graph import onnx_graph
from edgeser_export.quantise import half
from edgeser_export.scored_folds import ScoredFold, scored_folds
from edgeser_export.sensitivity import Sensitivity, measured
from edgeser_train import metrics
from edgeser_train.corpora import Corpus
from edgeser_train.evaluation import bootstrap
from edgeser_train.evaluation.calibration import cross_fitted
from edgeser_train.evaluation.folds import Part
from edgeser_train.evaluation.provenance import machine, versions
from edgeser_train.metrics import Doubles, Ints
from edgeser_train.models.scoring import utterance_pieces
from edgeser_train.training import checkpoint

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
MAX_LOSS = 0.01
"""The largest loss of UA with which a variant ships."""

ROUNDS = 200
_WARM_UP = 10


class Ratio(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A variant's time over fp32's in the same round: median and quartiles over all rounds."""

    median: float
    low: float
    high: float


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One window of ``frames`` frames, one thread."""

    frames: int
    median_ms: float
    ratio: Ratio


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One precision, on the scored utterances of all folds. Differences are to fp32, paired.

    ``ece``: with a temperature fitted on this variant's own logits of the other folds;
    ``changed``: share of utterances that get another label; ``score_drift``: mean absolute
    difference of a score; ``calibration_error``: root mean square difference of a logit on the
    calibration pieces, mean over the folds (int8 only).
    """

    precision: Precision
    bytes: int
    timings: list[Timing]
    wa: Estimate
    ua: Estimate
    wa_change: Estimate
    ua_change: Estimate
    ece: float
    changed: float
    score_drift: float
    calibration_error: float | None
    left_alone: dict[str, int]
    ships: bool
    why: str


class VariantsReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All variants of one evaluation's folds, on the part of each fold that it scored."""

    model: str
    protocol: str
    part: Part = "test"
    corpora: list[str]
    utterances: int
    folds: int
    rounds: int
    command: str
    machine: str
    versions: dict[str, str]
    date: str
    commit: str
    variants: list[Variant]


@dataclass
class _Outputs:
    """Outputs of the variants for the scored utterances of all folds so far."""

    names: list[str] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    logits: dict[Precision, list[Floats]] = field(
        default_factory=lambda: {precision: [] for precision in PRECISIONS}
    )
    sensitivities: list[Sensitivity] = field(default_factory=list)


def compare(run: Path, corpus: Corpus, command: str, rounds: int = ROUNDS) -> VariantsReport:
    """Quantise every fold's model of a run of ``edgeser evaluate``, and score its utterances anew.

    Ranges and sensitive layers come from utterances that trained the fold and are not scored.
    Raises UserError unless ``run`` holds folds of one plan, one seed and this corpus.
    """
    outputs = _Outputs()
    graphs: dict[Precision, Any] = {}
    longest: list[Floats] = []
    for number, fold in enumerate(scored_folds(run, corpus)):
        made, pieces = _fold(fold, corpus, outputs, number)
        if not graphs:
            graphs, longest, first = made, pieces, fold
    origin = first.origin
    times = timings(graphs, windows_of(longest, origin.recipe.window.pad_frames), rounds)
    return VariantsReport(
        model=origin.recipe.name,
        protocol=origin.protocol.partition(" fold ")[0],
        part=first.result.part,
        corpora=origin.corpora,
        utterances=len(outputs.names),
        folds=len(outputs.sensitivities),
        rounds=rounds,
        command=command,
        machine=machine(),
        versions=versions(),
        date=checkpoint.today(),
        commit=commit(),
        variants=[
            _variant(p, outputs, len(graphs[p].SerializeToString()), times[p], len(corpus.labels))
            for p in PRECISIONS
        ],
    )


def _fold(
    fold: ScoredFold, corpus: Corpus, outputs: _Outputs, number: int
) -> tuple[dict[Precision, Any], list[Floats]]:
    """Score one fold's utterances; its graphs, and the pieces of those utterances."""
    model, recipe = fold.model, fold.origin.recipe
    trained_on = set(fold.origin.trained_on) - set(fold.result.utterances)
    calibration = pieces_of_some(
        [u for u in corpus.utterances if u.name in trained_on], recipe, model.min_frames
    )
    plain = onnx_graph(model)
    integers, sensitivity = measured(plain, calibration, recipe.window.pad_frames)
    graphs: dict[Precision, Any] = {"fp32": plain, "fp16": half(plain), "int8": integers}
    sessions = {p: open_session(graph.SerializeToString()) for p, graph in graphs.items()}
    outputs.sensitivities.append(sensitivity)
    everything = []
    for utterance, target in zip(fold.utterances, fold.result.targets, strict=True):
        sound = utterance.samples()
        pieces = utterance_pieces(sound, recipe.front_end, recipe.window, model.min_frames)
        features, frames = batch_of(pieces, recipe.window.pad_frames)
        for precision, session in sessions.items():
            (logits,) = session.run(["logits"], {"features": features, "frames": frames})
            outputs.logits[precision].append(logits.mean(axis=0))
        outputs.names.append(utterance.name)
        outputs.targets.append(target)
        outputs.groups.append(number)
        everything += pieces
    return graphs, everything


def windows_of(pieces: Sequence[Floats], pad_frames: int) -> list[Floats]:
    """The piece of median length and the longest, if their padded lengths differ; else one."""
    ordered = sorted(pieces, key=len)
    chosen = {
        batch_of([p], pad_frames)[0].shape[1]: p for p in (ordered[len(ordered) // 2], ordered[-1])
    }
    return [batch_of([piece], pad_frames)[0][0] for piece in chosen.values()]


def timings(
    graphs: dict[Precision, Any], windows: Iterable[Floats], rounds: int
) -> dict[Precision, list[Timing]]:
    """One-thread times of all variants, each round running every variant once."""
    sessions = {p: open_session(graph.SerializeToString()) for p, graph in graphs.items()}
    rows: dict[Precision, list[Timing]] = {p: [] for p in graphs}
    for window in windows:
        inputs = {"features": window[None], "frames": np.array([len(window)])}
        taken: dict[Precision, list[float]] = {p: [] for p in graphs}
        for done in range(rounds + _WARM_UP):
            for precision, session in sessions.items():
                begun = time.perf_counter()
                session.run(["logits"], inputs)
                if done >= _WARM_UP:
                    taken[precision].append(time.perf_counter() - begun)
        plain = np.array(taken["fp32"])
        for precision, seconds in taken.items():
            low, median, high = np.quantile(np.array(seconds) / plain, (0.25, 0.5, 0.75))
            ratio = Ratio(float(median), float(low), float(high))
            rows[precision].append(Timing(len(window), float(np.median(seconds)) * 1e3, ratio))
    return rows


def _variant(
    precision: Precision, outputs: _Outputs, size: int, times: list[Timing], labels: int
) -> Variant:
    targets, groups = np.array(outputs.targets), np.array(outputs.groups)
    plain, mine = (np.stack(outputs.logits[p]).astype(np.float64) for p in ("fp32", precision))
    first, second = (_tables(outputs.names, targets, z, labels) for z in (plain, mine))
    ua_change = bootstrap.difference(metrics.uas, first, second)
    ships, why = verdict(precision, ua_change.value, times)
    is_int8 = precision == "int8"
    errors = [s.remaining for s in outputs.sensitivities]
    layers = [name for s in outputs.sensitivities for name in s.left_alone]
    return Variant(
        precision=precision,
        bytes=size,
        timings=times,
        wa=bootstrap.interval(metrics.was, second),
        ua=bootstrap.interval(metrics.uas, second),
        wa_change=bootstrap.difference(metrics.was, first, second),
        ua_change=ua_change,
        ece=metrics.ece(cross_fitted(mine, targets, groups), targets),
        changed=float((mine.argmax(axis=1) != plain.argmax(axis=1)).mean()),
        score_drift=float(np.abs(softmax(mine) - softmax(plain)).mean()),
        calibration_error=float(np.mean(errors)) if is_int8 else None,
        left_alone={name: layers.count(name) for name in sorted(set(layers))} if is_int8 else {},
        ships=ships,
        why=why,
    )


def verdict(precision: Precision, ua_change: float, times: Sequence[Timing]) -> tuple[bool, str]:
    """Whether a variant ships, and why."""
    if precision == "fp32":
        return True, "it is what the others are measured against"
    if ua_change < -MAX_LOSS:
        return False, f"it loses {-100 * ua_change:.1f} points of UA; at most 1 is accepted"
    slowest = max(t.ratio.median for t in times)
    if precision == "int8" and slowest >= 1:
        return False, f"it is not faster: {slowest:.2f} of fp32's time"
    if precision == "fp16":
        return True, "half the size at the same scores; for a GPU, a CPU computes in fp32"
    return (
        True,
        f"UA changes by {100 * ua_change:+.1f} points and it takes {slowest:.2f} of the time",
    )


def _tables(names: list[str], targets: Ints, logits: Doubles, labels: int) -> Doubles:
    return bootstrap.tables(names, targets, logits.argmax(axis=1)[:, None], labels)
