"""Emo-DB, the Berlin database of emotional speech (Burkhardt et al. 2005).

A file's name is ``SSTTTEv``: speaker, text, emotion, version. Only the classic 535 recordings are
used; the second edition's additional ones are skipped, so that results stay comparable.

There is a copy in circulation in which every recording is cut or padded to exactly 2 s. Its results
are not comparable with those of the originals, and in a mixture the length would give the class
away: it has a name of its own, and each is refused under the other's name.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import soundfile

from edgeser.errors import UserError
from edgeser_train.corpora.corpus import Corpus, Release, Utterance, reading
from edgeser_train.corpora.folder import check_complete, sound_files

LICENCE = "CC0-1.0"
SPEAKERS = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
FEMALE = ("08", "09", "13", "14", "16")
COUNTS = {"angry": 127, "happy": 71, "neutral": 79, "sad": 62}
COUNTS_7 = COUNTS | {"bored": 81, "disgusted": 46, "fearful": 69}
LABEL_OF_LETTER = {"W": "angry", "F": "happy", "N": "neutral", "T": "sad"}
LABEL_OF_LETTER_7 = LABEL_OF_LETTER | {"L": "bored", "E": "disgusted", "A": "fearful"}

_STEM = re.compile(r"(\d\d)([ab]\d\d)([WLEAFTN])([a-z])")


def load(folder: Path) -> Corpus:
    """The four classes angry, happy, neutral, sad: 339 utterances in the order of their names.

    ``folder`` holds the wav or flac files, or a folder ``wav`` that does, of these four classes or
    of all seven. Raises UserError that names what is missing.
    """
    return _load("emodb", folder, LABEL_OF_LETTER, cut=False)


def load_7(folder: Path) -> Corpus:
    """All seven classes: the classic 535 utterances. Raises UserError."""
    return _load("emodb7", folder, LABEL_OF_LETTER_7, cut=False)


def load_7_2s(folder: Path) -> Corpus:
    """All seven classes from the copy in which every file is 2 s long. Raises UserError."""
    return _load("emodb7-2s", folder, LABEL_OF_LETTER_7, cut=True)


def _load(name: str, folder: Path, label_of_letter: dict[str, str], *, cut: bool) -> Corpus:
    found = sound_files(name, folder, _STEM)
    wanted = {
        stem: label_of_letter[stem[5]] for stem in classic_stems() if stem[5] in label_of_letter
    }
    check_complete(name, folder, wanted, found)
    _check_length(name, folder, [found[stem] for stem in wanted], cut=cut)
    utterances = tuple(
        Utterance(
            stem,
            found[stem],
            speaker=stem[:2],
            label=label,
            corpus=name,
            gender="female" if stem[:2] in FEMALE else "male",
        )
        for stem, label in wanted.items()
    )
    labels = tuple(sorted(label_of_letter.values()))
    return Corpus(name, LICENCE, labels, utterances, recordings="emodb")


def classic_stems() -> list[str]:
    """Names of the 535 recordings of the first edition, sorted."""
    listed = resources.files("edgeser_train.corpora").joinpath("emodb_classic.txt")
    return listed.read_text(encoding="ascii").split()


def _check_length(name: str, folder: Path, paths: list[Path], *, cut: bool) -> None:
    two_seconds = [_is_2s(path) for path in paths]
    if not cut and all(two_seconds):
        raise UserError(
            f"corpus {name}: every recording in {folder} is exactly 2 s long, so these are not the "
            "originals",
            "use emodb7-2s for the copy that is cut to 2 s; it has all seven classes",
        )
    if cut and not all(two_seconds):
        other = paths[two_seconds.index(False)]
        raise UserError(
            f"corpus {name}: {other} is not exactly 2 s long",
            "use emodb7 for the original recordings, or emodb for four classes of them",
        )


def _is_2s(path: Path) -> bool:
    with reading(path):
        info = soundfile.info(path)
    return bool(info.frames == 2 * info.samplerate)


FOUR_CLASSES = Release(load, "emodb", LICENCE)
SEVEN_CLASSES = Release(load_7, "emodb", LICENCE)
SEVEN_CLASSES_2S = Release(load_7_2s, "emodb", LICENCE)
