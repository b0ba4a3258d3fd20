"""Emo-DB, the Berlin database of emotional speech (Burkhardt et al. 2005).

A file's name is ``SSTTTEv``: speaker, text, emotion, version. Only the classic 535 recordings
count: the second edition's additional ones are passed over, so that figures stay comparable.
"""

from __future__ import annotations

import re
from collections import Counter
from importlib import resources
from pathlib import Path

from edgeser.errors import UserError
from edgeser_train.corpora.corpus import Corpus, Utterance

LICENCE = "CC0-1.0"
LABEL_OF_LETTER = {"W": "angry", "F": "happy", "N": "neutral", "T": "sad"}
COUNTS = {"angry": 127, "happy": 71, "neutral": 79, "sad": 62}
SPEAKERS = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")

_STEM = re.compile(r"(\d\d)([ab]\d\d)([WLEAFTN])([a-z])")


def load(folder: Path) -> Corpus:
    """The four classes angry, happy, neutral, sad: 339 utterances in the order of their names.

    ``folder`` holds the wav or flac files, or a folder ``wav`` that does, of these four classes or
    of all seven. Raises UserError that names what is missing.
    """
    if not folder.is_dir():
        raise UserError(f"corpus emodb: {folder} is no folder; give the one with the wav files")
    found = {
        path.stem: path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in (".wav", ".flac") and _STEM.fullmatch(path.stem)
    }
    wanted = [stem for stem in classic_stems() if stem[5] in LABEL_OF_LETTER]
    missing = [stem for stem in wanted if stem not in found]
    if missing:
        raise UserError(
            f"corpus emodb: {folder} lacks {len(missing)} of the {len(wanted)} recordings "
            f"({_missing_by_class(missing)}), first {', '.join(missing[:5])}; "
            "take the complete corpus"
        )
    utterances = tuple(
        Utterance(stem, found[stem], stem[:2], LABEL_OF_LETTER[stem[5]]) for stem in wanted
    )
    return Corpus("emodb", LICENCE, tuple(sorted(COUNTS)), utterances)


def classic_stems() -> list[str]:
    """Names of the 535 recordings of the first edition, sorted."""
    listed = resources.files("edgeser_train.corpora").joinpath("emodb_classic.txt")
    return listed.read_text(encoding="ascii").split()


def _missing_by_class(stems: list[str]) -> str:
    counts = Counter(LABEL_OF_LETTER[stem[5]] for stem in stems)
    return ", ".join(f"{label} {counts[label]}" for label in sorted(counts))
