"""An artefact's training record, and the calibration of its scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from edgeser.errors import UserError
from edgeser.model.artefact import Estimate, TrainingRecord
from edgeser_train.corpora import CORPORA
from edgeser_train.corpora.selection import check_label_names
from edgeser_train.evaluation.report import Report
from edgeser_train.evaluation.unknown_voice_calibration import UnknownVoiceCalibration
from edgeser_train.models import class_of
from edgeser_train.training.checkpoint import Origin

_UNKNOWN = Estimate(0.0, 0.0, 1.0)
_OWN_FOLDS_ONLY = ("cross", "fixed")
"""Protocols that choose who trains: their report is valid only for models of their own folds."""


@dataclass(frozen=True)
class Calibration:
    """What says how far an artefact's scores are to be believed; None: not given.

    A temperature or threshold of its own wins over those that were fitted: ``strangers`` has them
    for unknown voices, otherwise ``report``.
    """

    report: Report | None = None
    strangers: UnknownVoiceCalibration | None = None
    own_temperature: float | None = None
    own_threshold: float | None = None

    @property
    def temperature(self) -> float:
        """Divides the logits."""
        if self.own_temperature is not None:
            return self.own_temperature
        return 1.0 if self._fitted is None else self._fitted.temperature

    @property
    def abstain_below(self) -> float:
        """The threshold: confidence below which the label is unknown."""
        if self.own_threshold is not None:
            return self.own_threshold
        return 0.0 if self._fitted is None else self._fitted.abstain_below

    @property
    def _fitted(self) -> Report | UnknownVoiceCalibration | None:
        return self.strangers or self.report


UNCALIBRATED = Calibration()


def record_of(origin: Origin, report: Report | None) -> TrainingRecord:
    """The record of a checkpoint, with the figures of its recipe's evaluation.

    Raises UserError when the report is not of models trained like this one: with another recipe,
    corpus or set of labels, on a chosen training part, or without ancestors where this one has any;
    and for a class that events cannot name.
    """
    check_label_names(origin.labels)
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
            **_owed(origin),
        )
    _check_report(report, origin)
    return TrainingRecord(
        corpora=origin.corpora,
        licence=origin.licence,
        protocol=_protocol(report),
        wa=report.wa,
        ua=report.ua,
        f1=report.f1,
        ece=report.ece_after,
        date=origin.date,
        commit=origin.commit,
        **_owed(origin),
    )


class _Owed(TypedDict):
    licences: dict[str, str]
    attribution: list[str]


def _owed(origin: Origin) -> _Owed:
    """The licences and attributions owed to the corpora that it has heard, as far as they are
    registered, and to the source of its initial weights.
    """
    releases = {name: CORPORA[name] for name in origin.corpora if name in CORPORA}
    attributions = [release.attribution for release in releases.values()]
    attributions.append(class_of(origin.recipe.model).attribution)
    return {
        "licences": {name: release.licence for name, release in releases.items()},
        "attribution": [words for words in attributions if words],
    }


def _check_report(report: Report, origin: Origin) -> None:
    if report.recipe != origin.recipe:
        raise UserError("--report: its recipe is not the checkpoint's", "evaluate this one")
    folds = [row.fold for row in report.folds]
    of_a_fold = origin.protocol in {f"{report.protocol} fold {fold}" for fold in folds}
    if report.protocol in _OWN_FOLDS_ONLY and not of_a_fold:
        raise UserError(
            f"--report: it is of models that trained as '{report.protocol}' does "
            f"({', '.join(folds)}), the checkpoint trained as '{origin.protocol}'",
            "evaluate with another protocol, e.g. 'loso', "
            "or export a checkpoint of that evaluation",
        )
    own, ancestors = _own_corpora(origin, report, of_a_fold=of_a_fold)
    if not own or report.labels != origin.labels:
        raise UserError(
            f"--report: it is of {report.corpus} ({', '.join(report.labels)}), "
            f"the checkpoint of {'+'.join(origin.corpora)} ({', '.join(origin.labels)})"
        )
    if ancestors and not (report.taught_by or report.started_from):
        raise UserError(
            f"--report: the checkpoint has learnt from models that heard {', '.join(ancestors)}, "
            "those of the report have not",
            "evaluate with the same --teacher or --initialise",
        )
    unheard = {answer.utterance for answer in report.answers} - set(origin.trained_on)
    if unheard and not of_a_fold:
        raise UserError(
            f"--report: it is of {len(unheard)} utterances that the checkpoint was not trained on, "
            f"e.g. {min(unheard)}",
            "evaluate the corpus that it was trained on",
        )


def _own_corpora(origin: Origin, report: Report, *, of_a_fold: bool) -> tuple[list[str], list[str]]:
    """The checkpoint's corpora, in two: first those that the report is on, then those that only its
    ancestors heard. The model of a fold may lack a corpus that is wholly held out.
    """
    for count in range(len(origin.corpora), 0, -1):
        own, others = origin.corpora[:count], origin.corpora[count:]
        name = "+".join(own)
        if name == report.corpus or (of_a_fold and f"+{name}+" in f"+{report.corpus}+"):
            return own, others
    return [], origin.corpora


def _protocol(report: Report) -> str:
    """The evaluation behind the figures, e.g. "loso, test part, 2 of 10 folds, pooled"."""
    folds = [row.fold for row in report.folds]
    words = [report.protocol, f"{report.part} part"]
    if report.protocol == "cross":
        words[0] += f" {' and '.join(folds)}"
    if report.folds_left_out:
        words.append(f"{len(folds)} of {len(folds) + len(report.folds_left_out)} folds")
    words.append("pooled")
    if not report.ancestors_known:
        words.append("whom its ancestors heard is not known")
    return ", ".join(words)
