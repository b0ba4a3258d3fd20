"""A user's own recordings, listed in a file.

``FILE.csv`` has a heading row, ``FILE.jsonl`` an object on each line. Each utterance has a ``path``
(relative to the file's folder), a ``speaker`` and a ``label``; the other fields of ``Row`` are
optional. The corpus is named after the file.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgeser.errors import UserError
from edgeser_train.corpora.corpus import Corpus, Release, Utterance
from edgeser_train.corpora.merge import strictest

_NAME = re.compile(r"[^\s/,:+]+")
"""A valid speaker or label: it becomes part of the names of folds and files."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One utterance as listed; see ``Utterance`` for what the fields mean."""

    path: Annotated[str, Meta(min_length=1)]
    speaker: str
    label: str
    session: str = ""
    gender: Literal["female", "male", ""] = ""
    style: Literal["improvised", "scripted", ""] = ""
    part: Literal["train", "validation", "test", ""] = ""
    agreement: Annotated[float, Meta(ge=0, le=1)] | None = None
    valence: float | None = None
    arousal: float | None = None
    group: str = ""
    licence: str = "unspecified"


COLUMNS = {
    "path": "the sound file, from the manifest's folder on",
    "speaker": "who speaks",
    "label": "the class",
    "session": "the same for speakers recorded together",
    "gender": "female or male",
    "style": "improvised or scripted",
    "part": "train, validation or test",
    "agreement": "the share of votes for the label, 0 to 1",
    "valence": "a number",
    "arousal": "a number",
    "group": "the same for utterances that stay in one part",
    "licence": "an SPDX name",
}
"""What each field of ``Row`` is, for an error."""

_KINDS = "give a .csv or a .jsonl file"

REQUIRED = ("path", "speaker", "label")

_WANTED = (
    f"wanted: {', '.join(f'{name} ({COLUMNS[name]})' for name in REQUIRED)}; may be there: "
    + ", ".join(f"{name} ({what})" for name, what in COLUMNS.items() if name not in REQUIRED)
)


def load(path: Path) -> Corpus:
    """The utterances in the order of the file, the labels sorted. The licence is the strictest
    that a row names, "unspecified" where one names none.

    Raises UserError that names the line of what is wrong, listed twice or missing.
    """
    if not path.is_file():
        raise UserError(f"corpus manifest: {path} is not a file", _KINDS)
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise UserError(f"corpus manifest: {path} is of an unknown format", _KINDS)
    utterances: list[Utterance] = []
    licences: list[str] = []
    line_of: dict[Path, int] = {}
    speaker_of: dict[str, str] = {}
    for number, row in _rows(path):
        where = f"manifest {path} line {number}"
        file = path.parent / row.path
        if not file.is_file():
            reason = "is a folder" if file.is_dir() else "does not exist"
            raise UserError(
                f"{where}: {file} {reason}", "write the path from the manifest's folder on"
            )
        if file.resolve() in line_of:
            raise UserError(
                f"{where}: {row.path} is on line {line_of[file.resolve()]}, too", "remove one line"
            )
        line_of[file.resolve()] = number
        if row.group and speaker_of.setdefault(row.group, row.speaker) != row.speaker:
            raise UserError(
                f"{where}: group {row.group} has speakers {speaker_of[row.group]} and "
                f"{row.speaker}",
                "give each group one speaker",
            )
        utterances.append(_utterance(path.stem, file, row))
        licences.append(row.licence)
    labels = tuple(sorted({u.label for u in utterances}))
    if len(labels) < 2:
        raise UserError(
            f"manifest {path}: {len(utterances)} utterances with {len(labels)} different labels",
            "list at least two labels",
        )
    return Corpus(path.stem, strictest(licences), labels, tuple(utterances))


def _utterance(corpus: str, file: Path, row: Row) -> Utterance:
    return Utterance(
        row.path,
        file,
        speaker=row.speaker,
        label=row.label,
        corpus=corpus,
        gender=row.gender,
        style=row.style,
        session=row.session,
        part=row.part,
        agreement=row.agreement,
        valence=row.valence,
        arousal=row.arousal,
        group=row.group,
    )


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Line number and content."""
    try:
        for number, raw in _csv(path) if path.suffix.lower() == ".csv" else _lines(path):
            try:
                if isinstance(raw, str):
                    row = msgspec.json.decode(raw, type=Row)
                else:
                    row = msgspec.convert(raw, Row, strict=False)
            except msgspec.MsgspecError as error:
                raise UserError(f"manifest {path} line {number}: {error}", _fix(error)) from error
            for column, name in (("speaker", row.speaker), ("label", row.label)):
                if not _NAME.fullmatch(name):
                    raise UserError(
                        f"manifest {path} line {number}: {column} {name!r} is empty, or has a "
                        "space or one of / , : + in it",
                        "write it without, e.g. very_happy",
                    )
            numbers = (row.agreement, row.valence, row.arousal)
            if not all(value is None or math.isfinite(value) for value in numbers):
                raise UserError(
                    f"manifest {path} line {number}: agreement, valence or arousal is not finite",
                    "leave out what is not known",
                )
            yield number, row
    except UnicodeDecodeError as error:
        raise UserError(
            f"manifest {path}: not UTF-8: {error}", "save it as UTF-8 (in a spreadsheet: CSV UTF-8)"
        ) from error


def _fix(error: msgspec.MsgspecError) -> str:
    """What to write instead of what msgspec refuses."""
    if "field `" in str(error):  # one that is missing, or unknown
        return _WANTED
    column = re.search(r"`\$\.(\w+)`", str(error))
    if column:
        return f"{column[1]}: {COLUMNS[column[1]]}"
    return "write one JSON object on each line"


def _csv(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restkey="", strict=True)
        try:
            _check_columns(path, reader.fieldnames or ())
            for cells in reader:
                if "" in cells:
                    raise csv.Error("more cells than headings, or a heading is empty")
                yield reader.line_num, {key: value for key, value in cells.items() if value}
        except csv.Error as error:
            raise UserError(
                f"manifest {path} line {reader.reader.line_num}: {error}",
                "check the commas and quotation marks of this line",
            ) from error


def _check_columns(path: Path, found: Sequence[str]) -> None:
    """Raises UserError that says which columns there are, and which are wanted."""
    lacking = [name for name in REQUIRED if name not in found]
    strange = [name for name in found if name and name not in COLUMNS]
    if lacking or strange:
        wrong = [f"no {name}" for name in lacking] + [f"{name} is unknown" for name in strange]
        raise UserError(
            f"manifest {path}: its columns are {', '.join(found) or 'none'} ({', '.join(wrong)})",
            _WANTED,
        )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8-sig") as file:
        yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())


RELEASE = Release(load)
"""Name, recordings and licence differ from manifest to manifest."""
