"""``edgeser annotate --voices``: recordings of one voice are judged against each other."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import soundfile
from click.testing import CliRunner, Result

from edgeser import Recognizer, Voice, load_settings
from edgeser.annotate import annotator
from edgeser.annotate.archive import ArchiveError
from edgeser.annotate.files import Recordings, find
from edgeser.annotate.plan import Shard, shards
from edgeser.audio.file import FileSource
from edgeser.cli import main
from edgeser.errors import UserError
from edgeser.model.golden import waveform
from tests.sounds import silence

ANNA, BERT = ["anna/1.wav", "anna/2.wav", "anna/3.wav"], ["bert/1.wav", "bert/2.wav"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for number, path in enumerate([*ANNA, *BERT, "alone.wav"]):
        (folder / path).parent.mkdir(exist_ok=True)
        sound = np.concatenate((waveform(number, 1.2), silence(0.8)))
        soundfile.write(folder / path, sound, 16_000)
    rows = "".join(f"{path},{path[:4]}\n" for path in [ANNA[0], BERT[0], *ANNA[1:], BERT[1]])
    (folder / "list.csv").write_text(f"path,speaker\n{rows}alone.wav,\n")
    return folder


def annotate(what: Path, folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["annotate", str(what), "-o", str(folder), *options])


def rows(folder: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = pyarrow.parquet.read_table(folder / "segments").to_pylist()
    return found


def confidences(folder: Path) -> dict[str, float]:
    return {str(row["path"]): float(str(row["confidence"])) for row in rows(folder)}


def expected(archive: Path, paths: list[str]) -> dict[str, float]:
    recognizer = Recognizer()
    files = [archive / path for path in paths]
    found = {}
    for path, file, voice in zip(paths, files, recognizer.learn(files), strict=True):
        (event,) = recognizer.file(file, voice)
        found[path] = event.confidence
    return found


def test_the_voices_of_folders(archive: Path, tmp_path: Path) -> None:
    done = annotate(archive, tmp_path / "out", "--voices", "folder", "--jobs", "1")
    assert done.exit_code == 0, done.output
    assert confidences(tmp_path / "out") == {
        **expected(archive, ANNA),
        **expected(archive, BERT),
        **expected(archive, ["alone.wav"]),
    }
    voices = {str(row["path"]): row["voice"] for row in rows(tmp_path / "out")}
    assert voices == {
        **dict.fromkeys(ANNA, "anna"),
        **dict.fromkeys(BERT, "bert"),
        "alone.wav": ".",
    }
    known = {str(row["path"]): row["baseline_s"] for row in rows(tmp_path / "out")}
    assert known["alone.wav"] == 0.0
    assert all(float(str(known[path])) > 0 for path in [*ANNA, *BERT])


def test_a_voice_with_a_single_recording_is_heard_once(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, learnt = Recognizer.learn, []

    def learning(self: Recognizer, paths: Sequence[Path], *unread: Any) -> list[Voice]:
        learnt.append([str(path) for path in paths])
        return learn(self, paths, *unread)

    monkeypatch.setattr(Recognizer, "learn", learning)
    done = annotate(archive, tmp_path / "out", "--voices", "folder", "--jobs", "1")
    assert done.exit_code == 0, done.output
    voices = [[str(archive / path) for path in paths] for paths in (ANNA, BERT)]
    assert sorted(learnt) == voices


def test_a_folder_whose_name_is_no_utf8(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"J\xf6rg")
    folder.mkdir()
    shutil.copy(archive / ANNA[0], folder / "1.wav")
    done = annotate(tmp_path, tmp_path / "out", "--voices", "folder", "--jobs", "1")
    assert done.exit_code == 0, done.output
    assert [(row["voice"], row["path"]) for row in rows(tmp_path / "out")] == [
        ("J\\xf6rg", "J\\xf6rg/1.wav")
    ]


@pytest.mark.parametrize("size", ["1", "4"])
def test_the_voices_of_a_list_however_it_is_cut_and_whoever_does_it(
    size: str, archive: Path, tmp_path: Path
) -> None:
    options = ("--voices", "speaker", "--shard", size)
    done = annotate(archive / "list.csv", tmp_path / "out", *options, "--jobs", "2", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["files"] == 6
    assert confidences(tmp_path / "out") == {
        **expected(archive, ANNA),
        **expected(archive, BERT),
        **expected(archive, ["alone.wav"]),
    }
    assert {row["voice"] for row in rows(tmp_path / "out")} == {"anna", "bert", None}


def test_a_folder_begun_with_other_voices_is_refused(archive: Path, tmp_path: Path) -> None:
    assert annotate(archive / "list.csv", tmp_path / "out", "--jobs", "1").exit_code == 0
    assert {row["voice"] for row in rows(tmp_path / "out")} == {None}
    done = annotate(archive / "list.csv", tmp_path / "out", "--voices", "speaker")
    assert done.exit_code == 2
    assert "was begun with other files or voices, other --voices; name another" in done.stderr


def test_recordings_of_one_voice_stay_together() -> None:
    paths = ["a1", "b1", "a2", "x", "a3", "b2", "y"]
    voices = {path: path[0] for path in paths if len(path) == 2}
    for size, parts in {
        1: [["a1", "a2", "a3"], ["b1", "b2"], ["x"], ["y"]],
        2: [["a1", "a2", "a3"], ["b1", "b2"], ["x", "y"]],
        5: [["a1", "a2", "a3", "b1", "b2"], ["x", "y"]],
        9: [["a1", "a2", "a3", "b1", "b2", "x", "y"]],
    }.items():
        cut = shards(Recordings(Path("root"), paths, voices), size)
        assert [shard.paths for shard in cut] == parts
        assert [shard.number for shard in cut] == list(range(len(parts)))
        assert {k: v for shard in cut for k, v in (shard.voices or {}).items()} == voices
    plain = shards(Recordings(Path("root"), paths, {}), 3)
    assert [shard.paths for shard in plain] == [paths[:3], paths[3:6], paths[6:]]


def test_a_field_of_jsonl_may_be_a_number_or_null(tmp_path: Path) -> None:
    voices = {"1.wav": 7, "2.wav": "7", "3.wav": 8.0, "4.wav": None}
    lines = [json.dumps({"path": path, "id": voice}) for path, voice in voices.items()]
    (tmp_path / "l.jsonl").write_text("\n".join(lines))
    found = find(str(tmp_path / "l.jsonl"), "id")
    assert found.paths == list(voices)
    assert found.voices == {"1.wav": "7", "2.wav": "7", "3.wav": "8.0"}


def test_a_folder_is_one_voice_however_its_name_is_spelled(tmp_path: Path) -> None:
    paths = ["anna/1.wav", "./anna/2.wav", "anna//3.wav", "bert/../anna/4.wav", "5.wav", "./6.wav"]
    (tmp_path / "l.txt").write_text("\n".join(paths))
    said = find(str(tmp_path / "l.txt"), "folder").voices
    assert said == dict(zip(paths, [*["anna"] * 4, ".", "."], strict=True))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("l.csv", "path,name\n1.wav,a\n", "no column 'id'; its columns are path, name;"),
        ("l.csv", "path,id\n1.wav,a\n1.wav,b\n", "1.wav has the voices 'a' and 'b'; give it one"),
        ("l.csv", 'path,id\n1.wav,"a\n2.wav,b\n', "l.csv, line 2: .*; see that every quote is"),
        ("l.csv", f'path,id\n1.wav,"{"a" * 200_000}\n', "l.csv, line 2: .*; see that every quote"),
        ("l.txt", "1.wav\n", "--voices id: list .*l.txt has no columns; give a CSV"),
        ("l.jsonl", '{"path": "1.wav"}\n', "l.jsonl, line 1: no field 'id', or no text in it;"),
        ("l.jsonl", '{"path": 1, "id": "a"}\n', "l.jsonl, line 1: no field 'path', or no text"),
    ],
)
def test_a_list_that_does_not_say_whose_voice_it_is_is_one_line(
    name: str, text: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=told):
        find(str(tmp_path / name), "id")


def test_an_archive_unmounted_while_voices_are_learnt_is_not_judged_as_unknown_voices(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, away = tmp_path / "here", tmp_path / "away"
    shutil.copytree(archive, away)

    class BackAgain(FileSource):
        """Of the recordings that are judged."""

        def __init__(self, path: Path, fast: bool) -> None:
            if away.exists():
                away.rename(here)
            super().__init__(path, fast)

    monkeypatch.setattr(annotator, "FileSource", BackAgain)
    shard = Shard(0, str(here), ANNA, "anna", dict.fromkeys(ANNA, "anna"))
    annotate_shard = annotator.Annotator(load_settings())
    with pytest.raises(ArchiveError, match="does not see the recordings"):
        annotate_shard(shard)
    away.rename(here)
    known = annotate_shard(shard).segments.to_pylist()
    assert len(known) == 3
    assert all(row["baseline_s"] > 0 for row in known)


def test_a_model_or_list_without_voices_begins_no_folder(archive: Path, tmp_path: Path) -> None:
    for told, options in {
        f"--voices id: {archive} is not a list; name a list, or --voices folder": [
            "--voices",
            "id",
        ],
        "model 'eca-emodb' judges every sentence by itself and learns no voices": [
            *("--voices", "folder", "--model", "eca-emodb")
        ],
    }.items():
        done = annotate(archive, tmp_path / "out", *options)
        assert done.exit_code == 2
        assert told in done.stderr
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "out").exists()
