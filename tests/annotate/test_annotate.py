"""``edgeser annotate``: an archive's tables, whatever processes make them or are killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import soundfile
from click.testing import CliRunner, Result

from edgeser import Recognizer
from edgeser.annotate import processes
from edgeser.annotate.annotator import Annotator
from edgeser.annotate.archive import ArchiveError
from edgeser.annotate.files import find
from edgeser.annotate.plan import shards
from edgeser.cli import main
from edgeser.errors import UserError
from edgeser.model.golden import waveform
from edgeser.settings.load import load_settings
from tests.sounds import silence

FILES = 7


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of two remarks each in two folders, and one that is none."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "b").mkdir()
    for number in range(FILES):
        remark = np.concatenate((waveform(number, 0.7), silence(0.8)))
        name = f"{'b/' if number % 2 else ''}{number}.{'flac' if number % 3 else 'wav'}"
        soundfile.write(folder / name, np.tile(remark, 2), 16_000)
    (folder / "b" / "broken.wav").write_bytes(b"RIFF, but no more")
    (folder / "notes.txt").write_text("not a recording")
    return folder


@pytest.fixture(scope="module")
def annotated(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables as one process makes them."""
    folder = tmp_path_factory.mktemp("out") / "annotated"
    done = annotate(archive, folder, "--jobs", "1")
    assert done.exit_code == 0, done.output
    assert "core-seconds per hour of sound" in done.stdout
    return folder


def annotate(what: Path, folder: Path, *options: str) -> Result:
    return CliRunner().invoke(
        main, ["annotate", str(what), "-o", str(folder), "--shard", "2", *options]
    )


def parts(folder: Path) -> dict[str, bytes]:
    found = sorted(folder.glob("*/*.parquet"))
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


def table(folder: Path, name: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pyarrow.parquet.read_table(folder / name).to_pylist()
    return rows


def test_the_tables_hold_what_the_recognizer_says(archive: Path, annotated: Path) -> None:
    rows = table(annotated, "segments")
    assert len(rows) == 2 * FILES
    assert [row["path"] for row in rows] == sorted(str(row["path"]) for row in rows)
    event = next(iter(Recognizer().file(archive / "0.wav")))
    first = rows[0]
    assert first["path"] == "0.wav"
    for key in ("segment", "start", "end", "label", "confidence", "valence", "continued"):
        assert first[key] == getattr(event, key)
    for label, score in event.scores.items():
        assert first[f"score_{label}"] == score
    assert first["snr_db"] == event.quality.snr_db
    assert first["speech_probability"] == event.quality.speech_probability is not None
    assert first["noise_probability"] is event.quality.noise_probability is None
    assert first["model_sha256"] == event.model.sha256
    [failure] = table(annotated, "errors")
    assert failure["path"] == "b/broken.wav"
    assert "broken.wav" in str(failure["error"])


def test_they_are_the_same_however_many_processes_make_them(
    archive: Path, annotated: Path, tmp_path: Path
) -> None:
    done = annotate(archive, tmp_path / "out", "--jobs", "3", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["files"] == FILES + 1
    assert parts(tmp_path / "out") == parts(annotated)


def test_parts_of_several_machines_make_the_whole(
    archive: Path, annotated: Path, tmp_path: Path
) -> None:
    for part in ("1/2", "2/2"):
        assert annotate(archive, tmp_path / "out", "--jobs", "1", "--part", part).exit_code == 0
    assert parts(tmp_path / "out") == parts(annotated)


def test_a_killed_run_resumes_and_repeats_nothing(
    archive: Path, annotated: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "edgeser", "annotate", str(archive), "-o", str(out)]
    process = subprocess.Popen([*command, "--shard", "2", "--jobs", "1"])
    deadline = time.monotonic() + 240
    while not (out / "segments" / "part-00000.parquet").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {file: file.stat().st_mtime_ns for file in out.glob("segments/*.parquet")}
    done = annotate(archive, out, "--jobs", "1", "--json")
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert figures["finished_before"] == min(2 * len(finished), FILES + 1)
    assert figures["files"] + figures["finished_before"] == FILES + 1
    assert {file: file.stat().st_mtime_ns for file in finished} == finished
    assert parts(out) == parts(annotated)
    again = annotate(archive, out, "--json")
    assert json.loads(again.stdout)["files"] == 0
    told = annotate(archive, out).stdout
    assert f"0 segments in {out / 'segments'}, {2 * FILES} in all" in told
    assert f"0 failures in {out / 'errors'}, 1 in all" in told


def test_ctrl_c_is_one_line(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(processes, "run", stopped)
    done = annotate(archive, tmp_path / "out")
    assert done.exit_code == 130
    assert done.stderr.endswith("edgeser: stopped; the same command continues from here\n")


def test_a_folder_begun_with_other_files_model_or_settings_is_refused(
    archive: Path, annotated: Path, tmp_path: Path
) -> None:
    before = parts(annotated)
    done = annotate(archive, annotated, "--model", "eca-emodb")
    assert done.exit_code == 2
    assert "was begun with another model" in done.stderr
    done = annotate(archive / "b", annotated)
    assert done.exit_code == 2
    assert "was begun with other files or voices; name another folder" in done.stderr
    settings = tmp_path / "settings.toml"
    settings.write_text("[model]\nlabels = ['angry', 'neutral']\n[baseline]\nlearn = false\n")
    done = annotate(archive, annotated, "--settings", str(settings))
    assert done.exit_code == 2
    assert "was begun with other model.labels, another baseline.learn; name" in done.stderr
    assert parts(annotated) == before


def test_labels_that_the_model_does_not_know_begin_no_folder(archive: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[model]\nlabels = ['angry', 'bored']\n")
    done = annotate(archive, tmp_path / "out", "--settings", str(settings))
    assert done.exit_code == 2
    assert "model.labels: streaming6 does not know 'bored'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_whose_tables_have_other_columns_is_refused(
    archive: Path, annotated: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    plan = json.loads((annotated / "plan.json").read_bytes())
    (out / "plan.json").write_text(json.dumps({**plan, "v": plan["v"] - 1}))
    done = annotate(archive, out)
    assert done.exit_code == 2
    assert "tables have other columns; name another folder with -o" in done.stderr


def test_a_full_disk_is_one_line(archive: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    command = ["prlimit", "--fsize=2000", sys.executable, "-m", "edgeser", "annotate"]
    done = subprocess.run(
        [*command, str(archive), "-o", str(tmp_path / "out"), "--jobs", "1"],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 2, done
    assert "File too large; make room and run the same command again" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.glob("out/segments/*")) == []


def test_recordings_are_found_in_folders_lists_and_by_patterns(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_folder = find(str(archive))
    assert in_folder.root == archive
    assert len(in_folder.paths) == FILES + 1
    assert "notes.txt" not in in_folder.paths
    paths = ["b/1.flac", "0.wav", "b/1.flac", "missing.wav"]
    lists = {
        "l.txt": "\n".join(paths) + "\n\n",
        "l.csv": "speaker,path\n" + "".join(f"x,{path}\n" for path in paths),
        "l.TXT": "\r\n".join(paths),
        "L.CSV": "\ufeffpath,speaker\r\n" + "".join(f"{path},x\r\n" for path in paths),
        "l.jsonl": "".join(json.dumps({"path": path, "speaker": 1}) + "\n" for path in paths),
    }
    for name, text in lists.items():
        file = archive / "b" / ".." / name
        file.write_text(text)
        assert find(str(file)).paths == ["b/1.flac", "0.wav", "missing.wav"]
        file.unlink()
    monkeypatch.chdir(archive)
    assert find("**/*.flac").paths == sorted(str(p) for p in Path().rglob("*.flac"))
    assert find("0.wav").paths == ["0.wav"]
    for wrong, told in {
        "nowhere": "nowhere: not there",
        "*.ogg": "no sound files in it",
        str(tmp_path): "no sound files in it",
    }.items():
        with pytest.raises(UserError, match=told.replace("*", r"\*")):
            find(wrong)


def test_a_list_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for text, told in {
        "path;speaker": "no column 'path'; its columns are path;speaker; .* with commas",
        "": "its columns are none",
        "path\n\xe4": "not UTF-8; save it as UTF-8",
    }.items():
        (tmp_path / "l.csv").write_text(text, "latin-1")
        with pytest.raises(UserError, match=f"l.csv: .*{told}"):
            find(str(tmp_path / "l.csv"))


@pytest.mark.parametrize("part", ["0/2", "3/2", "x", "1/"])
def test_an_invalid_part_is_one_line(part: str, archive: Path, tmp_path: Path) -> None:
    done = annotate(archive, tmp_path / "out", "--part", part)
    assert done.exit_code == 2
    assert f"--part '{part}': expected I/N" in done.stderr


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("mounted", [False, True])
def test_an_unmounted_archive_is_not_reported_as_missing_files(
    mounted: bool, jobs: str, archive: Path, tmp_path: Path
) -> None:
    """The folder of a mount that is lost is there, and empty."""
    calls, out, recordings = tmp_path / "calls", tmp_path / "out", tmp_path / "list.txt"
    recordings.write_text("".join(f"{calls / name}.wav\n" for name in ("0", "6", "7")))
    if mounted:
        calls.mkdir()
    done = annotate(recordings, out, "--jobs", jobs)
    assert done.exit_code == 1
    assert f"does not see the recordings; nothing can be read in {calls}: see" in done.stderr
    assert done.stderr.count("\n") == 1
    assert parts(out) == {}
    calls.mkdir(exist_ok=True)
    for name in ("0.wav", "6.wav"):
        shutil.copy(archive / name, calls)
    done = annotate(recordings, out, "--jobs", jobs)
    assert done.exit_code == 0, done.output
    assert len(table(out, "segments")) == 4
    assert [row["path"] for row in table(out, "errors")] == [str(calls / "7.wav")]


def test_an_archive_that_is_unmounted_meanwhile_leaves_no_holes(
    archive: Path, annotated: Path, tmp_path: Path
) -> None:
    calls, away, out = tmp_path / "calls", tmp_path / "away", tmp_path / "out"
    shutil.copytree(archive, calls)
    plan = shards(find(str(calls)), 2)
    for name in ("segments", "errors"):
        (out / name).mkdir(parents=True)
    run = processes.run(plan, load_settings(environment={}), out, 1)
    next(run)
    calls.rename(away)
    with pytest.raises(ArchiveError):
        next(run)
    away.rename(calls)
    assert len(parts(out)) == 1
    assert len(list(processes.run(plan[1:], load_settings(environment={}), out, 1))) == 3
    assert parts(out) == parts(annotated)


@pytest.mark.parametrize("what", ["calls", "calls/list.txt", "all.txt", "calls/*/*.wav"])
def test_files_of_a_single_vanished_folder_get_error_rows(
    what: str, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By folder, by lists of relative and absolute paths, and by pattern; the archive is not."""
    monkeypatch.chdir(tmp_path)
    calls = tmp_path / "calls"
    paths = ["day1/0.wav", "day1/6.wav", "day2/0.wav", "day2/6.wav"]
    for path in paths:
        (calls / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(archive / Path(path).name, calls / path)
    if what == "calls/list.txt":
        (tmp_path / what).write_text("\n".join(paths))
    (tmp_path / "all.txt").write_text("\n".join(str(calls / path) for path in paths))
    plan = shards(find(what), 2)
    annotator = Annotator(load_settings(environment={}))
    shutil.rmtree(calls / "day2")
    assert [annotator(shard).errors.num_rows for shard in plan] == [0, 2]
    shutil.rmtree(calls)
    for shard in plan:
        with pytest.raises(ArchiveError, match=r"nothing can be read in .*calls: see"):
            annotator(shard)


def test_a_single_vanished_file_gets_an_error_row(archive: Path, tmp_path: Path) -> None:
    """Also where it is the only one of its shard."""
    (archive / "list.txt").write_text("0.wav\n1.flac\nvanished.wav\n")
    try:
        done = annotate(archive / "list.txt", tmp_path / "out", "--jobs", "1")
    finally:
        (archive / "list.txt").unlink()
    assert done.exit_code == 0, done.output
    assert [row["path"] for row in table(tmp_path / "out", "errors")] == ["1.flac", "vanished.wav"]
