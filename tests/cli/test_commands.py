"""The commands: their help, their facts in text and JSON, and their refusals."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeser.cli import COMMANDS
from edgeser.settings.schema import DEFAULT_MODEL
from tests.sounds import SPEECH_FILE, SPEECH_SEGMENTS, silence, speech
from tests.system.daemons import EDGESER, edgeser, running

LOOPBACK = ("127.0.0.1", "127.0.0.2")
SUBCOMMANDS = [[name] for name in COMMANDS] + [["settings", "check"], ["settings", "show"]]


def on_a_terminal(columns: int, *words: str) -> str:
    """What a command that ends well says on a terminal of so many columns, without its colours."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    said = b""
    with subprocess.Popen([*EDGESER, *words], stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        with open(ours, "rb", buffering=0) as terminal, suppress(OSError):  # as a terminal ends
            while piece := terminal.read(100_000):
                said += piece
    assert process.returncode == 0, said
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode())


@pytest.mark.parametrize("command", SUBCOMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    done = edgeser(*command, "--help")
    assert done.code == 0
    assert "Example" in done.out
    assert f"edgeser {command[0]}" in done.out


def test_the_group_lists_every_command() -> None:
    done = edgeser("--help")
    assert all(f"  {name} " in done.out for name in COMMANDS)
    assert edgeser("--version").out.startswith("edgeser 0.")


def test_an_unknown_command_exits_with_2() -> None:
    done = edgeser("fly")
    assert done.code == 2
    assert "fly" in done.err


def test_models_lists_and_describes() -> None:
    listed = json.loads(edgeser("models", "--json").out)
    assert "lightweight-emodb" in [model["name"] for model in listed]
    described = json.loads(edgeser("models", "lightweight-emodb", "--json").out)
    assert described["labels"] == ["angry", "happy", "neutral", "sad"]
    text = edgeser("models", "lightweight-emodb").out
    assert described["sha256"] in text
    assert "CC0-1.0" in text
    assert "golden vectors" in text
    assert "no-such" in edgeser("models", "no-such").refusal


@pytest.mark.parametrize(
    ("columns", "headings"),
    [
        (80, "name version unknown known home labels licence"),
        (60, "name version unknown known home"),
        (20, "name"),
    ],
)
def test_models_marks_the_default_and_cuts_no_word_on_a_narrow_terminal(
    columns: int, headings: str
) -> None:
    said = on_a_terminal(columns, "models")
    assert headings in [" ".join(line.split()) for line in said.splitlines()]
    words = said.split()
    assert words[words.index(DEFAULT_MODEL) + 1] == "(default)"
    assert words.count("(default)") == 1
    assert ("ODbL-1.0" in words) == ("licence" in headings)
    assert ("widen the terminal" in " ".join(words)) == ("licence" not in headings)
    assert "…" not in said


def test_predict_prints_a_row_per_segment() -> None:
    done = edgeser("predict", str(SPEECH_FILE))
    assert done.code == 0
    rows = [line for line in done.out.splitlines() if line.strip()[:1].isdigit()]
    assert len(rows) == SPEECH_SEGMENTS
    assert not any("…" in line for line in done.out.splitlines())


def test_predict_cuts_nothing_off_when_piped(tmp_path: Path) -> None:
    long = np.concatenate((silence(1000), speech()))
    soundfile.write(tmp_path / "long.flac", long, 16_000)
    done = edgeser("predict", str(tmp_path / "long.flac"), env={**os.environ, "COLUMNS": "30"})
    rows = [line for line in done.out.splitlines() if line.strip()[:1].isdigit()]
    assert len(rows) == SPEECH_SEGMENTS
    assert all(len(row.split()) == 11 for row in rows), done.out
    assert "…" not in done.out


@pytest.mark.parametrize(("columns", "shown"), [(60, 8), (34, 4), (12, 4)])
def test_predict_leaves_out_whole_columns_on_a_narrow_terminal(columns: int, shown: int) -> None:
    said = on_a_terminal(columns, "predict", str(SPEECH_FILE))
    rows = [line for line in said.splitlines() if line.strip()[:1].isdigit()]
    assert len(rows) == SPEECH_SEGMENTS
    assert {len(row.split()) for row in rows} == {shown}
    assert "…" not in said
    assert "sad: widen the terminal" in " ".join(said.split())


def test_predict_of_one_voice_judges_each_file_against_the_others(tmp_path: Path) -> None:
    first, second, third = map(str, (tmp_path / "1.wav", tmp_path / "2.wav", tmp_path / "none.wav"))
    soundfile.write(first, speech(), 16_000)
    soundfile.write(second, speech()[::-1], 16_000)
    unknown = edgeser("predict", "--json", first)
    known = edgeser("predict", "--json", "--one-voice", third, second, first)
    assert (unknown.code, known.code) == (0, 2)
    assert "none.wav: there is no such file" in known.err
    said = [json.loads(line) for line in known.out.splitlines()]
    assert [row["file"] for row in said] == sorted((row["file"] for row in said), reverse=True)
    before = [json.loads(line)["event"]["baseline_s"] for line in unknown.out.splitlines()]
    after = [row["event"]["baseline_s"] for row in said if row["file"] == first]
    assert len(before) == len(after) == SPEECH_SEGMENTS
    assert before[0] == 0 < after[0]
    refused = edgeser("predict", "--one-voice", "--model", "eca-emodb", first)
    assert "model 'eca-emodb' judges every sentence by itself" in refused.refusal


def test_predict_says_what_it_heard_as_silence(tmp_path: Path) -> None:
    holes = speech().astype(np.float32) / 32768
    holes[50_000:50_010] = np.nan
    soundfile.write(tmp_path / "holes.wav", holes, 16_000, "FLOAT")
    done = edgeser("predict", str(tmp_path / "holes.wav"))
    assert done.code == 0
    (said,) = done.err.splitlines()
    assert said.startswith(f"{tmp_path / 'holes.wav'}: samples that are not finite numbers")


def test_predict_names_what_is_missing_and_offers_nothing_that_it_does_not_take() -> None:
    done = edgeser("predict", "missing.wav")
    assert done.refusal.endswith(
        "missing.wav: there is no such file; give a sound file that is there"
    )


def test_predict_says_when_there_is_no_speech(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", silence(2), 16_000)
    done = edgeser("predict", str(tmp_path / "silent.wav"))
    assert done.code == 0
    assert "no speech found" in done.out


def test_settings_show_what_settings_check_accepts(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    shown = edgeser("settings", "show")
    file.write_text(shown.out)
    assert edgeser("settings", "check", str(file)).code == 0
    assert json.loads(edgeser("settings", "show", "--json").out)["speech"]["vad_mode"] == 2


def test_settings_check_knows_what_the_model_can_take(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text("[speech]\nmax_seconds = 20\n")
    assert "speech.max_seconds" in edgeser("settings", "check", str(file)).refusal
    file.write_text('[model]\nname = "nonsense"\n')
    assert "nonsense" in edgeser("settings", "check", str(file)).refusal


def test_settings_check_refuses_what_run_refuses(tmp_path: Path) -> None:
    file, keys = tmp_path / "edgeser.toml", tmp_path / "keys"

    def refusal(text: str) -> str:
        file.write_text(text)
        run = edgeser("run", "--settings", str(file), "--once").refusal
        assert edgeser("settings", "check", str(file)).refusal == run
        return run

    assert "events.bind" in refusal('[events]\nbind = ["bogus"]\n')
    assert "no such file" in refusal('[audio]\nsource = "none.wav"\n')
    assert "not a valid file name" in refusal('[audio]\nsource = "a\\u0000b"\n')
    (tokens := tmp_path / "tokens").write_text(f"hall {'x' * 16}\n")
    tokens.chmod(0o600)
    two = [f'[[source]]\nsource = "tcp://{ip}:0"\ntokens = "{tokens}"\n' for ip in LOOPBACK]
    assert "'hall': two sources have this name" in refusal("".join(two))
    curve = f'[audio]\nsource = "{SPEECH_FILE}"\n[events]\ncurve = true\nkeys = "{keys}"\n'
    assert "server.secret: No such file or directory; 'edgeser keys new'" in refusal(curve)
    assert edgeser("keys", "new", "server", "--keys", str(keys)).code == 0
    assert edgeser("settings", "check", str(file)).code == 0


def test_doctor_looks_at_the_sources_that_the_settings_name(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"

    def findings() -> dict[str, dict[str, object]]:
        done = edgeser("doctor", "--settings", str(file), "--json")
        return {finding["check"]: finding for finding in map(json.loads, done.out.splitlines())}

    file.write_text(f'[[source]]\nsource = "{SPEECH_FILE}"\n')
    found = findings()
    assert found["microphones"]["ok"]
    assert "not needed" in str(found["microphones"]["found"])
    assert str(SPEECH_FILE) in str(found["sound files"]["found"])
    file.write_text('[[source]]\nsource = "none.wav"\n[[source]]\ndevice = "no such thing"\n')
    found = findings()
    assert not found["microphones"]["ok"]
    assert not found["sound files"]["ok"]


def test_a_daemon_that_runs_is_no_trouble_to_the_doctor(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    with running("--source", "-", stdin=subprocess.PIPE) as daemon:
        daemon.wait_for("self.statuses", 300)
        source = f'[audio]\nsource = "{SPEECH_FILE}"\n'
        file.write_text(f'{source}[events]\nbind = ["{daemon.endpoint}"]\n')
        done = edgeser("doctor", "--settings", str(file), "--json", timeout_s=300)
    findings = {f["check"]: f for f in map(json.loads, done.out.splitlines())}
    assert findings["endpoints"]["ok"], findings["endpoints"]
    assert "is held by a daemon that runs" in findings["endpoints"]["found"]
    assert findings["level"]["ok"]


def test_doctor_says_what_to_do_about_a_taken_endpoint(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file.write_text(f'[events]\nbind = ["tcp://127.0.0.1:{taken.getsockname()[1]}"]\n')
        done = edgeser("doctor", "--settings", str(file), "--json")
    assert done.code == 1
    findings = {f["check"]: f for f in map(json.loads, done.out.splitlines())}
    assert not findings["endpoints"]["ok"]
    assert findings["endpoints"]["fix"]
    assert findings["model"]["ok"]
    assert findings["voice activity"]["ok"]
    assert findings["telemetry"]["ok"]


@pytest.mark.parametrize(
    "command",
    [
        ("listen", "--timeout"),
        ("mute", "--for"),
        ("lake", "fill", "--every"),
        ("lake", "fill", "--stream-gb"),
    ],
    ids=" ".join,
)
def test_a_number_that_is_none_is_refused(command: tuple[str, str]) -> None:
    done = edgeser(*command, "nan")
    assert done.code == 2
    assert "nan is not a finite number" in done.err
    assert "'x' is not a valid number." in edgeser(*command, "x").err
