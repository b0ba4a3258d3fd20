"""How well a model does on corpora and voices outside its training: a file beside the artefact.

The figures change nothing that the model computes. So they are not part of the artefact, whose
SHA-256 identifies what runs: in events, in baselines of voices, and in engines built for a GPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from edgeser.model.artefact import ArtefactError, Estimate


class UnseenRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Figures for one amount ``known`` of every voice ("nothing", "10, mostly neutral", ...).

    Fractions, means over the corpora. ``ua4``: mean recall of angry, happy, neutral and sad when
    only these are distinguished; ``ua``: of all classes that model and corpus share; both with 95 %
    intervals over speakers. ``arousal_auc`` and ``valence_auc``: area under the ROC curve of the
    events' projections, None where no corpus has the classes. ``ece``: calibration error.
    """

    known: str
    ua4: Estimate
    ua: Estimate
    arousal_auc: float | None
    valence_auc: float | None
    ece: float


class Unseen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well the artefact with this SHA-256 does on whole ``corpora`` outside its training.

    One row for each amount that is known of every voice, from nothing to the most.
    """

    sha256: str
    corpora: list[str]
    date: str
    rows: Annotated[list[UnseenRow], Meta(min_length=1)]


def unseen_file(artefact: Path) -> Path:
    """Where the figures of an artefact are, if there are any."""
    return artefact.with_suffix(".unseen.json")


def read_unseen(artefact: Path, sha256: str) -> Unseen | None:
    """The figures of the artefact with this SHA-256; None if there are none, or only those of
    another file of that name. Raises ArtefactError for a file that does not hold such figures.
    """
    path = unseen_file(artefact)
    try:
        unseen = msgspec.json.decode(path.read_bytes(), type=Unseen)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise ArtefactError(
            f"{path}: not the figures of a model: {error}",
            "remove it, or score the model with --card",
        ) from error
    return unseen if unseen.sha256 == sha256 else None
