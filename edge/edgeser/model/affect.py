"""Valence and arousal of scores: where the labels lie on the circumplex of affect.

No model here was trained on either. They are a projection: the expectation, over a window's
scores, of where people place the *words* (Russell and Mehrabian 1977, *Evidence for a three-factor
theory of emotions*, Journal of Research in Personality 11, 273 to 294: pleasure and arousal of
angry, bored, disgusted, fearful, happy, relaxed, sad, surprised on scales from -1 to 1). Neutral is
the origin of both scales. What the scores cannot tell apart, the projection cannot either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from edgeser.features.front_end import Floats


class Affect(NamedTuple):
    """``valence``: unpleasant -1 to pleasant 1. ``arousal``: calm -1 to excited 1."""

    valence: float
    arousal: float


COORDINATES = {
    "angry": Affect(-0.51, 0.59),
    "bored": Affect(-0.65, -0.62),
    "calm": Affect(0.68, -0.46),
    "disgusted": Affect(-0.60, 0.35),
    "fearful": Affect(-0.64, 0.60),
    "happy": Affect(0.81, 0.51),
    "neutral": Affect(0.0, 0.0),
    "sad": Affect(-0.63, -0.27),
    "surprised": Affect(0.40, 0.67),
}


def has_affect(labels: Sequence[str]) -> bool:
    """Whether scores of these labels have valence and arousal: each label has coordinates."""
    return all(label in COORDINATES for label in labels)


def affect_of(scores: Floats, labels: Sequence[str]) -> Affect | None:
    """The expectation over scores (labels,) that sum to one; None if a label has no coordinates."""
    if not has_affect(labels):
        return None
    weighted = [
        (score, COORDINATES[label]) for score, label in zip(scores.tolist(), labels, strict=True)
    ]
    return Affect(
        valence=sum(score * place.valence for score, place in weighted),
        arousal=sum(score * place.arousal for score, place in weighted),
    )
