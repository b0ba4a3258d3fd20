"""Tables that put evaluations side by side, for a terminal, for markdown and as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from edgeser.model.artefact import Estimate
from edgeser_train.evaluation.comparison import Comparison, Difference
from edgeser_train.evaluation.evaluation import Evaluation
from edgeser_train.evaluation.markdown import percent, table

_COMMIT_DIGITS = 8


@dataclass(frozen=True)
class Sheet:
    """A table; its first ``words`` columns are words, the others figures."""

    title: str
    header: list[str]
    rows: list[list[str]]
    words: int
    notes: list[str] = field(default_factory=list)


def names_of(runs: Sequence[Path]) -> list[str]:
    """A name for each run: its folder, or the whole path where folders have the same name."""
    short = [_folder(run).name or str(run) for run in runs]
    return short if len(set(short)) == len(short) else [str(run) for run in runs]


def sheets(
    names: Sequence[str], evaluations: Sequence[Evaluation], comparisons: Sequence[Comparison]
) -> list[Sheet]:
    """What was run, its figures, the listening conditions, and how each differs from the first."""
    made = [f(names, evaluations) for f in (_what, _how, _figures, _confidence)]
    conditions = _conditions(names, evaluations)
    if len(conditions.rows) > 1:
        made.append(conditions)
    if comparisons:
        made.append(_compared(comparisons))
    return made


def markdown(made: Sequence[Sheet]) -> str:
    """All sheets as a markdown document."""
    lines: list[str] = ["# Evaluations side by side"]
    for sheet in made:
        lines += ["", f"## {sheet.title}", "", *table(sheet.header, sheet.rows)]
        lines += [line for note in sheet.notes for line in ("", note)]
    return "\n".join(lines) + "\n"


def as_document(
    names: Sequence[str], evaluations: Sequence[Evaluation], comparisons: Sequence[Comparison]
) -> dict[str, Any]:
    """``runs`` (evaluations without their single answers and curves) and ``comparisons``."""
    runs = []
    for name, evaluation in zip(names, evaluations, strict=True):
        content = msgspec.to_builtins(evaluation)
        del content["answers"], content["curves"]
        runs.append({"run": name, **content})
    return {"runs": runs, "comparisons": msgspec.to_builtins(comparisons)}


def _folder(run: Path) -> Path:
    path = run.resolve()
    path = path.parent if path.suffix == ".json" else path
    return path.parent if path.name == "report" else path


def _what(names: Sequence[str], evaluations: Sequence[Evaluation]) -> Sheet:
    rows = [
        [name, e.model, e.corpus, _protocol(e), str(e.utterances), str(e.speakers)]
        for name, e in zip(names, evaluations, strict=True)
    ]
    header = ["run", "model", "corpus", "protocol, part", "utterances", "speakers"]
    return Sheet("What was scored", header, rows, 4)


def _protocol(e: Evaluation) -> str:
    folds = len(e.folds) + len(e.folds_left_out)
    partial = f", {len(e.folds)} of {folds} folds" if e.folds_left_out else ""
    return f"{e.protocol}, {e.part}{partial}"


def _how(names: Sequence[str], evaluations: Sequence[Evaluation]) -> Sheet:
    rows = [
        [
            name,
            _speakers(e),
            e.chosen_on,
            " ".join(dict.fromkeys(_short(t.commit) for t in e.trained)) or "not known",
            " ".join(map(str, e.seeds)),
            f"{e.parameters:,}",
        ]
        for name, e in zip(names, evaluations, strict=True)
    ]
    header = ["run", "speakers are", "checkpoint by", "commit", "seeds", "parameters"]
    return Sheet("How", header, rows, 4)


def _speakers(e: Evaluation) -> str:
    if e.speaker_independent:
        return "new"
    return "also trained on" if e.ancestors_known else "not known"


def _short(commit: str) -> str:
    """A commit's first digits, and the "+" of uncommitted changes."""
    return commit[:_COMMIT_DIGITS] + ("+" if commit.endswith("+") else "")


def _figures(names: Sequence[str], evaluations: Sequence[Evaluation]) -> Sheet:
    rows = [
        [
            name,
            percent(e.wa.value),
            _span(e.wa),
            percent(e.ua.value),
            _span(e.ua),
            _span(e.by_speaker["ua"]) if e.by_speaker else "-",
        ]
        for name, e in zip(names, evaluations, strict=True)
    ]
    header = ["run", "WA %", "utter.", "UA %", "utter.", "speakers"]
    notes = ["95 % intervals draw utterances (utter.) or whole speakers."]
    return Sheet("Figures", header, rows, 1, notes)


def _confidence(names: Sequence[str], evaluations: Sequence[Evaluation]) -> Sheet:
    rows = [
        [name, percent(e.f1.value), percent(e.ece_before), percent(e.ece_after)]
        for name, e in zip(names, evaluations, strict=True)
    ]
    header = ["run", "macro F1 %", "ECE % as trained", "calibrated"]
    notes = ["ECE: expected calibration error, as trained and with a temperature."]
    return Sheet("F1 and confidence", header, rows, 1, notes)


def _conditions(names: Sequence[str], evaluations: Sequence[Evaluation]) -> Sheet:
    most_first = sorted(evaluations, key=lambda e: -len(e.conditions))
    heard = dict.fromkeys(c.condition for e in most_first for c in e.conditions)
    found = [
        {c.condition: f"{percent(c.ua)} ({percent(c.changed)})" for c in e.conditions}
        for e in evaluations
    ]
    rows = [[condition, *(cells.get(condition, "-") for cells in found)] for condition in heard]
    return Sheet("UA % (labels changed %) when heard so", ["condition", *names], rows, 1)


def _compared(comparisons: Sequence[Comparison]) -> Sheet:
    rows = []
    notes = [
        "Points: this run minus the first. 95 % intervals: paired bootstrap over utterances, and "
        "over whole speakers. McNemar: exact p; below it the utterances that only this run and "
        "that only the first has right."
    ]
    for c in comparisons:
        p, counts = "-", ""
        if c.mcnemar:
            p, counts = (
                _p(c.mcnemar.p),
                f"{c.mcnemar.only_second_right} : {c.mcnemar.only_first_right}",
            )
        rows.append([c.second, str(c.utterances), "WA", *_points(c.wa), p])
        rows.append(["", "", "UA", *_points(c.ua), counts])
        if c.notes:
            notes.append(f"{c.second}: {'; '.join(c.notes)}.")
    header = ["run", "on", "", "points", "utter.", "speakers", "McNemar p"]
    return Sheet(f"Compared to {comparisons[0].first}", header, rows, 1, notes)


def _points(difference: Difference | None) -> list[str]:
    """The difference and its two intervals, in points."""
    if difference is None:
        return ["-", "-", "-"]
    estimate, speakers = difference.over_utterances, difference.over_speakers
    return [
        f"{100 * estimate.value:+.1f}",
        _signed(estimate),
        _signed(speakers) if speakers else "-",
    ]


def _span(estimate: Estimate) -> str:
    return f"{percent(estimate.low)}–{percent(estimate.high)}"


def _signed(estimate: Estimate) -> str:
    return f"{100 * estimate.low:+.1f} to {100 * estimate.high:+.1f}"


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
