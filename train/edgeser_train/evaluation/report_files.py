"""A report on disk: report.md and report.json, confusion.png and curves.png."""

from __future__ import annotations

from pathlib import Path

from edgeser_train.evaluation import evaluation_files
from edgeser_train.evaluation.report import Report
from edgeser_train.evaluation.report_plots import confusion_png, curves_png
from edgeser_train.evaluation.report_text import CHOICE, markdown
from edgeser_train.files import write_whole


def write(report: Report, folder: Path) -> None:
    """Write the four files. Raises UserError when that fails."""
    write_whole(folder / "confusion.png", confusion_png(report))
    write_whole(folder / "curves.png", curves_png(report))
    write_whole(folder / "report.json", evaluation_files.to_json(report))
    write_whole(folder / "report.md", markdown(report, (folder / CHOICE).is_file()).encode())


def read(path: Path) -> Report:
    """The report of a run's folder, or a report.json. Raises UserError for anything else."""
    return evaluation_files.read(path, Report)
