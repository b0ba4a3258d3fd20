"""What IEMOCAP and KEMDy19 have in common: actors in pairs, whose files' names tell who speaks."""

from __future__ import annotations

import re
from pathlib import Path

from edgeser_train.corpora.corpus import Utterance

STYLES = {"impro": "improvised", "script": "scripted"}
_GENDERS = {"F": "female", "M": "male"}


def told_by(name: str, pattern: re.Pattern[str]) -> tuple[str, str, str]:
    """Session, "impro" or "script", "F" or "M": the groups of a pattern that the name matches."""
    match = pattern.fullmatch(name)
    assert match is not None
    session, style, gender = match.groups()
    return session, style, gender


def utterance(
    corpus: str,
    path: Path,
    name: str,
    pattern: re.Pattern[str],
    label: str,
    *,
    agreement: float | None,
    valence: float,
    arousal: float,
) -> Utterance:
    """An utterance of such a corpus; a speaker is a session and a gender, e.g. "1F"."""
    session, style, gender = told_by(name, pattern)
    return Utterance(
        name,
        path,
        speaker=f"{session}{gender}",
        label=label,
        corpus=corpus,
        gender=_GENDERS[gender],
        style=STYLES[style],
        session=session,
        agreement=agreement,
        valence=valence,
        arousal=arousal,
    )
