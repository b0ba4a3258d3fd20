"""report.md: an evaluation for people."""

from __future__ import annotations

import msgspec
import numpy as np

from edgeser_train.data.protocols import PROTOCOLS
from edgeser_train.evaluation.calibration import at_bound
from edgeser_train.evaluation.evaluation import Evaluation, FoldRow
from edgeser_train.evaluation.markdown import between, percent, table
from edgeser_train.evaluation.report import Report

CHOICE = "choice.md"
"""A hand-written note beside the report: how the recipe was chosen."""

_SPEAKERS_SHOWN = 4
_NAMES = {"wa": "WA (accuracy)", "ua": "UA (mean recall)", "f1": "macro F1"}


def markdown(report: Report, has_choice: bool) -> str:
    """The report; ``has_choice``: whether the note ``CHOICE`` lies beside it."""
    parts = [
        _head(report, has_choice),
        _pooled(report),
        _corpora(report),
        _seeds(report),
        _folds(report),
        _conditions(report),
        _confidence(report),
        ["## Recipe", "", "```json", _recipe(report), "```"],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _head(r: Evaluation, has_choice: bool) -> list[str]:
    seeds = (
        f"Seed{'s' if len(r.seeds) > 1 else ''} {', '.join(map(str, r.seeds))} "
        f"(of data and folds: {r.data_seed})"
    )
    return [
        f"# {r.model} on {r.corpus}: {r.protocol}, {r.part} part",
        "",
        f"{seeds}, {r.parameters:,} parameters. Made by",
        "",
        f"    {r.command}",
        "",
        f"Folds trained at: {_trained(r)}{f', in {r.precision}' if r.precision else ''}. "
        f"Report written at: commit {r.commit}, {r.date}, on "
        f"{r.machine}, with "
        + ", ".join(f"{name} {version}" for name, version in r.versions.items())
        + ".",
        "",
        f"Protocol `{r.protocol}`: {r.description}. {_speaker_independence(r)}",
        *_left_out(r),
        "",
        _chosen_on(r)
        + (f" How the recipe was chosen: [{CHOICE}]({CHOICE})." if has_choice else ""),
    ]


def _trained(r: Evaluation) -> str:
    """The commits whose code trained the folds, and when."""
    models = sum(t.models for t in r.trained)
    return (
        ", ".join(
            f"commit {t.commit}"
            + (f", {t.date}" if t.date else "")
            + (f" ({t.models} of {models})" if len(r.trained) > 1 else "")
            for t in r.trained
        )
        or "not known"
    )


def _speaker_independence(r: Evaluation) -> str:
    if r.speaker_independent:
        return "Speaker-independent: no speaker that is scored was trained on."
    if PROTOCOLS[r.protocol].speaker_independent:
        ways = ("started from" if r.started_from else "", "taught by" if r.taught_by else "")
        return (
            f"**{' and '.join(filter(None, ways)).capitalize()} a model whose speakers are not "
            "known**: it may have heard those that are scored, and then the figures flatter."
        )
    return (
        "**Speaker-dependent**: speakers that are scored were also trained on, so the "
        "figures say nothing of a new voice."
    )


def _left_out(r: Evaluation) -> list[str]:
    """What the figures do not cover, who taught the model, and what it started from."""
    lines = []
    if r.folds_left_out:
        lines += [
            "",
            f"**Only {len(r.folds)} of {len(r.folds) + len(r.folds_left_out)} folds** were "
            f"evaluated; without {', '.join(r.folds_left_out)}.",
        ]
    if r.taught_by:
        lines += ["", f"Distilled: trained with the answers of {', '.join(r.taught_by)}, too."]
    if r.started_from:
        lines += ["", f"Training started from the weights of {r.started_from}."]
    return lines


def _chosen_on(r: Evaluation) -> str:
    if r.chosen_on == "last epoch":
        lengths = sorted({len(c.losses) for c in r.curves})
        return (
            f"Checkpoint: the weights of the last epoch, out of a number fixed beforehand "
            f"({' or '.join(map(str, lengths))}); nothing was chosen on what is scored."
        )
    epochs = sorted(c.chosen_epoch for c in r.curves)
    chosen = (
        "Checkpoint: for every fold the epoch with the best UA on its validation part "
        f"(epochs {epochs[0]} to {epochs[-1]})"
    )
    if r.part == "validation":
        return f"{chosen}, **which is also what is scored here: the figures flatter**."
    return f"{chosen}; the part that is scored had no say."


def _pooled(r: Evaluation) -> list[str]:
    by_speaker = r.by_speaker or {}
    repeated = len(r.answers) > r.utterances
    rows = [
        [
            _NAMES[name],
            percent(figure.value),
            between(figure),
            between(by_speaker[name]) if name in by_speaker else "too few speakers",
        ]
        for name, figure in {"wa": r.wa, "ua": r.ua, "f1": r.f1}.items()
    ]
    return [
        "## Utterances of all folds pooled",
        "",
        *table(["figure", "%", "95 % over utterances", "95 % over speakers"], rows),
        "",
        f"Intervals: percentiles of a bootstrap over the {r.utterances} utterances, and over the "
        f"{r.speakers} speakers, each drawn with all that it says. The second is the one for new "
        "speakers of this kind, and rough where speakers are few; neither speaks of other "
        f"languages, rooms or ways of recording. Mean of folds: WA {percent(r.fold_mean_wa)}, "
        f"UA {percent(r.fold_mean_ua)}."
        + (
            f" Utterances are scored in several folds: {len(r.answers)} answers."
            if repeated
            else ""
        )
        + (" All figures are means over the seeds." if len(r.seeds) > 1 else ""),
        "",
        "![confusion matrix](confusion.png)",
        "",
        *table(
            ["true \\ said", *r.labels, "recall %"],
            (
                [label, *map(str, row), percent(recall)]
                for label, row, recall in zip(r.labels, r.confusion, r.recalls, strict=True)
            ),
        ),
        *(["", "Counts are summed over the seeds."] if len(r.seeds) > 1 else []),
    ]


def _corpora(r: Evaluation) -> list[str]:
    if len(r.by_corpus) < 2:
        return []
    rows = (
        [
            c.corpus,
            str(c.speakers),
            str(c.utterances),
            *(f"{percent(e.value)} ({between(e)})" for e in (c.wa, c.ua, c.f1)),
        ]
        for c in r.by_corpus
    )
    header = ["corpus", "speakers", "utterances", "WA %", "UA %", "F1 %"]
    note = "In brackets: 95 % over utterances."
    return ["## Corpora", "", *table(header, rows), "", note]


def _seeds(r: Evaluation) -> list[str]:
    if len(r.by_seed) < 2:
        return []
    columns = {name: np.array([getattr(s, name) for s in r.by_seed]) for name in _NAMES}
    rows = [[str(s.seed), percent(s.wa), percent(s.ua), percent(s.f1)] for s in r.by_seed]
    rows.append(["mean", *(percent(float(x.mean())) for x in columns.values())])
    rows.append(["standard deviation", *(percent(float(x.std(ddof=1))) for x in columns.values())])
    return ["## Seeds", "", *table(["seed", "WA %", "UA %", "F1 %"], rows)]


def _folds(r: Evaluation) -> list[str]:
    header = ["fold", "speakers scored", "utterances", "WA %", "UA %", "F1 %", "seconds"]
    rows = (
        [
            f.fold,
            _speakers(f),
            str(f.utterances),
            percent(f.wa),
            percent(f.ua) + ("*" if f.lacking else ""),
            percent(f.f1),
            f"{f.seconds:.0f}",
        ]
        for f in r.folds
    )
    lacking = [f"no {' and no '.join(f.lacking)} in {f.fold}" for f in r.folds if f.lacking]
    return [
        "## Folds",
        "",
        *table(header, rows),
        *(["", f"\\* over the labels that the fold has: {'; '.join(lacking)}."] if lacking else []),
        "",
        "![training](curves.png)",
    ]


def _speakers(fold: FoldRow) -> str:
    shown = " ".join(fold.speakers[:_SPEAKERS_SHOWN])
    more = len(fold.speakers) - _SPEAKERS_SHOWN
    return shown + (f" and {more} more" if more > 0 else "")


def _conditions(r: Evaluation) -> list[str]:
    rows = ([c.condition, percent(c.wa), percent(c.ua), percent(c.changed)] for c in r.conditions)
    return [
        "## Listening conditions",
        "",
        "The sound that is scored, changed before it is heard; what each condition does: "
        "`train/edgeser_train/sound/conditions.py`. "
        "Changed: utterances that get another label than "
        f"{r.conditions[0].condition}.",
        "",
        *table(["condition", "WA %", "UA %", "labels changed %"], rows),
    ]


def _confidence(r: Evaluation) -> list[str]:
    given = (
        f"{percent(r.answered)} % of its answers, {percent(r.answered_wa)} % of them right"
        if r.answered
        else "none of its answers"
    )
    return [
        "## Confidence",
        "",
        f"Expected calibration error (15 bins): {percent(r.ece_before)} % as trained, "
        f"{percent(r.ece_after)} % with a temperature fitted on {r.calibrated_on}. Temperature "
        f"fitted on all answers, for the model that ships: {r.temperature:.3f}."
        + (
            " **That is the bound of what is searched**: one beyond it would fit better."
            if at_bound(r.temperature)
            else ""
        ),
        "",
        f"Below a confidence of {r.abstain_below:.2f} an answer is right at most every second "
        f"time: there the model should abstain. It then gives {given}. (That threshold is read "
        "off these same answers.)",
    ]


def _recipe(report: Report) -> str:
    return msgspec.json.format(msgspec.json.encode(report.recipe), indent=1).decode()
