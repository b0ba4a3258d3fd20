"""Corpora listed in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeser.errors import UserError
from edgeser_train.corpora import load_corpus, manifest

HEAD = "path,speaker,label,agreement,valence,part,licence,group\n"
ROWS = "a.wav,ann,sad,0.75,2.5,train,CC0-1.0,\nsub/b.wav,bob,angry,,,test,CC-BY-4.0,\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("a.wav", "sub/b.wav", "c.wav"):
        (tmp_path / name).touch()
    return tmp_path


def test_csv(folder: Path) -> None:
    (folder / "mine.csv").write_text("\ufeff" + HEAD + ROWS, encoding="utf-8")
    corpus = load_corpus(f"manifest={folder / 'mine.csv'}")
    assert (corpus.name, corpus.labels) == ("mine", ("angry", "sad"))
    assert corpus.licence == "CC-BY-4.0"
    one, other = corpus.utterances
    assert (one.name, one.path, one.speaker) == ("a.wav", folder / "a.wav", "ann")
    assert (one.agreement, one.valence, one.arousal, one.part) == (0.75, 2.5, None, "train")
    assert (other.path, other.agreement, other.corpus) == (folder / "sub" / "b.wav", None, "mine")


def test_json_lines(folder: Path) -> None:
    rows = [
        {"path": "a.wav", "speaker": "ann", "label": "sad", "arousal": 1, "group": "g"},
        {"path": str(folder / "c.wav"), "speaker": "ann", "label": "angry", "session": "s"},
    ]
    file = folder / "mine.jsonl"
    file.write_text("\n\n".join(json.dumps(row) for row in rows))
    corpus = load_corpus(f"manifest={file}")
    assert corpus.licence == "unspecified"
    one, other = corpus.utterances
    assert (one.arousal, one.group, other.session) == (1.0, "g", "s")
    assert other.path == folder / "c.wav"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("c.wav,,sad", "line 4: Object missing required field `speaker`"),
        (".,ann,sad", r"line 4: .* is a folder"),
        ("d.wav,ann,sad", r"line 4: .*d\.wav does not exist; write"),
        ("./a.wav,ann,sad", r"line 4: \./a\.wav is on line 2, too; remove"),
        ("c.wav,ann,sad,1.5", r"line 4: .*<= 1.* `\$\.agreement`"),
        ("c.wav,ann,sad,nan", "line 4: .*agreement"),
        ("c.wav,ann,sad,,inf", "line 4: agreement, valence or arousal is not finite; leave"),
        ("c.wav,ann,sad,,high", r"line 4: .*float.* `\$\.valence`"),
        (
            "c.wav,ann,sad,,,dev",
            r"line 4: Invalid enum value 'dev' - at `\$\.part`; part: train, v",
        ),
        ("c.wav,a/b,sad", "line 4: speaker 'a/b' is empty, or has a space or one of / , : "),
        ("c.wav,Ann Lee,sad", "line 4: speaker 'Ann Lee' .*; write it without, e.g. very_happy"),
        ("c.wav,ann,very happy", "line 4: label 'very happy' is empty, or has a space"),
        ("c.wav,ann,sad,,,,,,more", "line 4: more cells than headings.*; check"),
        ('c.wav,"ann"x,sad', "line 4: .* expected after"),
        ('c.wav,"ann\n",sad', r"line 5: speaker 'ann\\n' is"),
        ('c.wav,ann,"sad\n"', r"line 5: label 'sad\\n' is"),
    ],
)
def test_a_bad_row_is_named_with_its_line(folder: Path, row: str, said: str) -> None:
    file = folder / "mine.csv"
    file.write_text(f"{HEAD}{ROWS}{row}\n")
    with pytest.raises(UserError, match=f"manifest .*{said}"):
        load_corpus(f"manifest={file}")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("file,speaker,emotion", "no path, no label, file is unknown, emotion is unknown"),
        ("path,speaker,label,mood", "mood is unknown"),
        ("", "none (no path, no speaker, no label)"),
    ],
)
def test_wrong_columns_are_told_with_those_that_are_wanted(
    folder: Path, head: str, said: str
) -> None:
    (folder / "mine.csv").write_text(f"{head}\na.wav,ann,sad\n")
    with pytest.raises(UserError) as caught:
        load_corpus(f"manifest={folder / 'mine.csv'}")
    assert said in str(caught.value)
    assert f"its columns are {', '.join(head.split(',')) if head else 'none'}" in str(caught.value)
    assert "wanted: path (the sound file" in str(caught.value)
    assert "arousal (a number)" in str(caught.value)


def test_every_column_is_explained() -> None:
    assert tuple(manifest.COLUMNS) == manifest.Row.__struct_fields__


def test_a_group_of_two_speakers_is_named(folder: Path) -> None:
    file = folder / "mine.csv"
    file.write_text("path,speaker,label,group\na.wav,ann,sad,g\nc.wav,bob,angry,g\n")
    with pytest.raises(UserError, match="line 3: group g has speakers ann and bob"):
        load_corpus(f"manifest={file}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "its columns are none"),
        (b"path,speaker,label\n", "0 utterances with 0 different labels"),
        (b"path,speaker,label\na.wav,ann,sad\n", "1 utterances with 1 different labels"),
        (b"path,speaker,label\n\xff\n", "not UTF-8.*; save it as UTF-8"),
    ],
)
def test_a_file_that_is_no_manifest_is_named(folder: Path, content: bytes, said: str) -> None:
    file = folder / "mine.csv"
    file.write_bytes(content)
    with pytest.raises(UserError, match=said):
        load_corpus(f"manifest={file}")


@pytest.mark.parametrize("name", ["mine.tsv", "mine.txt", "mine"])
def test_a_list_of_another_kind_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text(HEAD + ROWS)
    with pytest.raises(
        UserError, match=f"/{name} is of an unknown format; give a .csv or a .jsonl"
    ):
        load_corpus(f"manifest={folder / name}")


def test_bad_json_is_named_with_its_line(folder: Path) -> None:
    file = folder / "mine.jsonl"
    file.write_text('{"path": "a.wav", "speaker": "ann", "label": "sad"}\n{"path": 3}\n')
    with pytest.raises(UserError, match=r"line 2: Expected `str`, got `int` - at `\$\.path`"):
        load_corpus(f"manifest={file}")
    file.write_text("not JSON\n")
    with pytest.raises(UserError, match=r"line 1: JSON is malformed.*; write one"):
        load_corpus(f"manifest={file}")
