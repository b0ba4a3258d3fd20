"""What an artefact says of its training and how its scores are calibrated."""

from __future__ import annotations

from edgeser.errors import UserError
from edgeser.model.artefact import Estimate, TrainingRecord
from edgeser_train.checkpoint import Origin
from edgeser_train.reports.report import Report

_UNKNOWN = Estimate(0.0, 0.0, 1.0)


def record_of(origin: Origin, report: Report | None) -> TrainingRecord:
    """The record of a checkpoint, with the figures of its recipe's evaluation.

    Raises UserError when the report is of another recipe, corpus or set of labels.
    """
    if report is None:
        return TrainingRecord(
            corpora=origin.corpora,
            licence=origin.licence,
            protocol="not evaluated",
            wa=_UNKNOWN,
            ua=_UNKNOWN,
            f1=_UNKNOWN,
            ece=1.0,
            date=origin.date,
            commit=origin.commit,
        )
    if report.recipe != origin.recipe:
        raise UserError("--report: it is of another recipe than the checkpoint; evaluate this one")
    if sorted(report.corpora) != sorted(origin.corpora) or report.labels != origin.labels:
        raise UserError(
            f"--report: it is of {', '.join(report.corpora)} ({', '.join(report.labels)}), "
            f"the checkpoint of {', '.join(origin.corpora)} ({', '.join(origin.labels)})"
        )
    return TrainingRecord(
        corpora=origin.corpora,
        licence=origin.licence,
        protocol=f"{report.protocol}, {report.part} part, pooled",
        wa=report.wa,
        ua=report.ua,
        f1=report.f1,
        ece=report.ece_after,
        date=origin.date,
        commit=origin.commit,
    )


def calibration_of(report: Report | None) -> tuple[float, float]:
    """Temperature and abstention threshold."""
    return (1.0, 0.0) if report is None else (report.temperature, report.abstain_below)
