"""A report on disk: report.md and report.json, confusion.png and curves.png."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import numpy as np
from matplotlib.figure import Figure

from edgeser.errors import UserError
from edgeser.model.artefact import Estimate
from edgeser_train.files import write_whole
from edgeser_train.report import Report

CHOICE = "choice.md"
"""A note by hand, beside the report: how the recipe was chosen."""


def write(report: Report, folder: Path) -> None:
    """Write the four files. Raises UserError when that fails."""
    write_whole(folder / "confusion.png", confusion_png(report))
    write_whole(folder / "curves.png", curves_png(report))
    document = msgspec.json.format(msgspec.json.encode(report), indent=1)
    write_whole(folder / "report.json", document + b"\n")
    write_whole(folder / "report.md", markdown(report, (folder / CHOICE).is_file()).encode())


def read(path: Path) -> Report:
    """A report.json. Raises UserError for any other file."""
    if not path.is_file():
        raise UserError(f"report {path}: no such file; 'edgeser evaluate' makes one")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UserError(f"report {path}: not a report of 'edgeser evaluate': {error}") from error


def markdown(report: Report, has_choice: bool) -> str:
    """The report for people."""
    r = report
    lines = [
        f"# {r.model} on {r.corpus}: {r.protocol}, {r.part} part",
        "",
        f"{r.date}, commit {r.commit}, seed {r.seed}, {r.parameters:,} parameters. Made by",
        "",
        f"    {r.command}",
        "",
        "with " + ", ".join(f"{name} {version}" for name, version in r.versions.items()) + ".",
        "",
        "No fold's model, epoch or threshold was chosen on the utterances that it is scored on: "
        f"every fold trains for {r.recipe.epochs} epochs and its last averaged weights count."
        + (f" How the recipe was chosen: [{CHOICE}]({CHOICE})." if has_choice else ""),
        "",
        "## Utterances of all folds pooled",
        "",
        "| figure | % | 95 % interval |",
        "|---|---|---|",
        _estimate_row("WA (accuracy)", r.wa),
        _estimate_row("UA (mean recall)", r.ua),
        _estimate_row("macro F1", r.f1),
        "",
        f"Intervals: bootstrap over {sum(f.utterances for f in r.folds)} utterances, percentiles. "
        "They say nothing of speakers unlike these. "
        f"Mean of folds: WA {_percent(r.fold_mean_wa)}, UA {_percent(r.fold_mean_ua)}.",
        "",
        "![confusion matrix](confusion.png)",
        "",
        "| true \\ said | " + " | ".join(r.labels) + " | recall % |",
        "|---|" + "---|" * (len(r.labels) + 1),
        *(
            f"| {label} | " + " | ".join(str(n) for n in row) + f" | {_percent(recall)} |"
            for label, row, recall in zip(r.labels, r.confusion, r.recalls, strict=True)
        ),
        "",
        "## Folds",
        "",
        "| fold | speakers scored | utterances | WA % | UA % | F1 % | seconds |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {f.fold} | {' '.join(f.speakers)} | {f.utterances} | {_percent(f.wa)} | "
            f"{_percent(f.ua)} | {_percent(f.f1)} | {f.seconds:.0f} |"
            for f in r.folds
        ),
        "",
        "![training loss](curves.png)",
        "",
        "## Gain",
        "",
        "The sound that is scored, scaled as a microphone with another gain would: int16 again, "
        "rounded and clipped.",
        "",
        "| gain dB | WA % | UA % | labels changed % |",
        "|---|---|---|---|",
        *(
            f"| {g.gain_db:+.0f} | {_percent(g.wa)} | {_percent(g.ua)} | {_percent(g.changed)} |"
            for g in r.gains
        ),
        "",
        "## Confidence",
        "",
        f"Expected calibration error (15 bins): {_percent(r.ece_before)} % as trained, "
        f"{_percent(r.ece_after)} % with a temperature fitted on the other folds. Temperature "
        f"fitted on all folds, for the model that ships: {r.temperature:.3f}.",
        "",
        f"Below a confidence of {r.abstain_below:.2f} (cross-fitted) an answer is right at most "
        f"every second time: there the model should abstain. It then answers "
        f"{_percent(r.answered)} % of the utterances, {_percent(r.answered_wa)} % of them right.",
        "",
        "## Recipe",
        "",
        "```json",
        msgspec.json.format(msgspec.json.encode(r.recipe), indent=1).decode(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def confusion_png(report: Report) -> bytes:
    """The confusion matrix: counts, coloured by the share of the true class."""
    counts = np.array(report.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        axes.text(
            column,
            row,
            f"{counts[row, column]}\n{100 * shares[row, column]:.0f} %",
            ha="center",
            va="center",
            color="white" if shares[row, column] > 0.5 else "black",
        )
    axes.set_xticks(range(len(report.labels)), report.labels)
    axes.set_yticks(range(len(report.labels)), report.labels)
    axes.set_xlabel("said by the model")
    axes.set_ylabel("acted by the speaker")
    axes.set_title(
        f"{report.model} on {report.corpus}, {report.protocol}\n"
        f"WA {_percent(report.wa.value)} %, UA {_percent(report.ua.value)} %"
    )
    figure.colorbar(picture, label="share of the true class")
    return _png(figure)


def curves_png(report: Report) -> bytes:
    """The training loss of every fold over its epochs."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for fold, losses in report.losses.items():
        axes.plot(range(1, len(losses) + 1), losses, label=fold, linewidth=1)
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss (augmented)")
    axes.set_title(f"{report.model} on {report.corpus}, {report.protocol}")
    axes.grid(alpha=0.3)
    axes.legend(title="fold", ncols=2, fontsize="small")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _estimate_row(name: str, estimate: Estimate) -> str:
    return (
        f"| {name} | {_percent(estimate.value)} | "
        f"{_percent(estimate.low)} to {_percent(estimate.high)} |"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
