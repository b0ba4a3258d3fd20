"""Evaluations as a table for other programs: CSV for a spreadsheet, LaTeX for a paper."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from edgeser.model.artefact import Estimate
from edgeser_train.evaluation.evaluation import Evaluation
from edgeser_train.evaluation.markdown import percent

_METRICS = ("wa", "ua", "f1")
_ESCAPED = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def as_csv(names: Sequence[str], evaluations: Sequence[Evaluation]) -> str:
    """A row for each run; figures are fractions of one, intervals 95 % over utterances, and over
    speakers where there are five or more.
    """
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    columns = [
        *("run", "model", "corpus", "protocol", "part", "utterances", "speakers", "parameters"),
        *(f"{name}{end}" for name in _METRICS for end in ("", "_low", "_high")),
        *(f"{name}_speakers{end}" for name in _METRICS for end in ("_low", "_high")),
        *("ece_before", "ece_after", "seeds"),
    ]
    writer.writerow(columns)
    for name, e in zip(names, evaluations, strict=True):
        by_speaker = e.by_speaker or {}
        writer.writerow(
            [
                *(name, e.model, e.corpus, e.protocol, e.part),
                *(e.utterances, e.speakers, e.parameters),
                *(x for metric in _METRICS for x in _numbers(getattr(e, metric))),
                *(x for metric in _METRICS for x in _numbers(by_speaker.get(metric))[1:]),
                *(e.ece_before, e.ece_after, " ".join(map(str, e.seeds))),
            ]
        )
    return made.getvalue()


def as_latex(names: Sequence[str], evaluations: Sequence[Evaluation]) -> str:
    """A ``tabular`` (package booktabs): percent, with the 95 % interval over utterances."""
    rows = [
        " & ".join(
            [
                *(escaped(word) for word in (name, e.model, e.corpus, e.protocol)),
                *(_with_interval(getattr(e, metric)) for metric in _METRICS),
            ]
        )
        for name, e in zip(names, evaluations, strict=True)
    ]
    lines = [
        r"\begin{tabular}{llllrrr}",
        r"\toprule",
        r"run & model & corpus & protocol & WA \% & UA \% & F1 \% \\",
        r"\midrule",
        *(rf"{row} \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escaped(words: str) -> str:
    """With LaTeX's special characters escaped."""
    return "".join(_ESCAPED.get(character, character) for character in words)


def _numbers(estimate: Estimate | None) -> tuple[object, object, object]:
    return ("", "", "") if estimate is None else (estimate.value, estimate.low, estimate.high)


def _with_interval(estimate: Estimate) -> str:
    low, high = percent(estimate.low), percent(estimate.high)
    return f"{percent(estimate.value)} ({low}--{high})"
