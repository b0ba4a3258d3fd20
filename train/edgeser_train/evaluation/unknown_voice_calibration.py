"""Calibration of a model's confidence for unknown voices, fitted on held-out corpora."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from edgeser.errors import UserError
from edgeser.model.artefact import Positive
from edgeser.model.centring import Centring
from edgeser.model.decision import softmax
from edgeser_train.evaluation import calibration
from edgeser_train.evaluation.unseen import Predictions
from edgeser_train.metrics import Doubles, Ints


class UnknownVoiceCalibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of strangers.json.

    ``temperature``: divides the logits of a voice of which nothing is known; ``shift``, by label:
    then added to them; ``known_scale``: see ``Centring``; ``abstain_below``: the confidence below
    which at most half of the predictions for such a voice are correct.
    """

    temperature: Positive
    known_scale: Positive
    shift: dict[str, float]
    abstain_below: Annotated[float, Meta(ge=0, lt=1)]

    def applied(
        self, centring: Centring, labels: Sequence[str], temperature: float | None = None
    ) -> Centring:
        """``centring`` with this calibration, for a model whose logits are divided by
        ``temperature``, by default the fitted one. Raises KeyError for a label without a shift.
        """
        heat = temperature or self.temperature
        return msgspec.structs.replace(
            centring,
            known_scale=self.known_scale,
            stranger_shift=[heat * self.shift[label] for label in labels],
        )


def read(path: Path) -> UnknownVoiceCalibration:
    """A strangers.json. Raises UserError for any other file."""
    fix = "`edgeser unseen RUN` writes one of a loco"
    if not path.is_file():
        raise UserError(f"strangers {path}: {'a folder' if path.is_dir() else 'no such file'}", fix)
    try:
        return msgspec.json.decode(path.read_bytes(), type=UnknownVoiceCalibration)
    except OSError as error:
        raise UserError(f"strangers {path}: cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"strangers {path}: {error}", fix) from error


def fit(unknown: Sequence[Predictions], known: Sequence[Predictions]) -> UnknownVoiceCalibration:
    """Fit on the predictions for corpora with nothing known, and with all earlier utterances known.

    All corpora have the same weight, and so do all classes of one.
    """
    logits, targets, weights = _together(unknown)
    temperature, shift = calibration.shifted(logits, targets, weights)
    sure, right, _ = _together(known)
    confident = softmax(logits / temperature + shift)
    return UnknownVoiceCalibration(
        temperature=temperature,
        known_scale=temperature / calibration.temperature(sure, right),
        shift=dict(zip(unknown[0].labels, shift.tolist(), strict=True)),
        abstain_below=calibration.abstention(confident, targets),
    )


def _together(corpora: Sequence[Predictions]) -> tuple[Doubles, Ints, Doubles]:
    """Logits, targets and weights; larger corpora are subsampled to the size of the smallest."""
    most = min(len(predictions.targets) for predictions in corpora)
    rng = np.random.default_rng(0)
    rows = [rng.permutation(len(predictions.targets))[:most] for predictions in corpora]
    logits = np.concatenate([a.logits[r] for a, r in zip(corpora, rows, strict=True)])
    targets = [a.targets[r] for a, r in zip(corpora, rows, strict=True)]
    weights = [1 / np.bincount(t)[t] / len(np.unique(t)) for t in targets]
    return logits, np.concatenate(targets), np.concatenate(weights)
