"""``edgeser baseline``: show, reset and enrol."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import soundfile
from click.testing import CliRunner

from edgeser.cli import main
from tests.baselines.learner import learner
from tests.sounds import SPEECH_FILE, silence
from tests.system.daemons import Finished, edgeser


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(learner(tmp_path))


def baseline(tmp_path: Path, *arguments: str) -> Finished:
    env = {**os.environ, "EDGESER_BASELINE_PATH": str(tmp_path / "kept")}
    return edgeser("baseline", *arguments, env=env)


def test_enrol_show_and_reset(tmp_path: Path, model: str) -> None:
    done = baseline(tmp_path, "enrol", "--model", model, str(SPEECH_FILE))
    assert done.code == 0, done.err
    assert "5 sentences" in done.out
    (shown,) = json.loads(baseline(tmp_path, "show", "--json").out)
    assert shown["stream"] == "mic"
    assert shown["enrolled"]
    assert shown["speech_s"] > 3
    assert "mic" in baseline(tmp_path, "show").out
    assert baseline(tmp_path, "reset").out == "mic: forgotten\n"
    assert "no voice is known" in baseline(tmp_path, "show").out


def test_another_model_has_its_own_and_says_how_much_it_counts(tmp_path: Path, model: str) -> None:
    baseline(tmp_path, "enrol", "--model", model, str(SPEECH_FILE))
    done = baseline(tmp_path, "enrol", "--model", "moonshine6", str(SPEECH_FILE))
    heard_s = float(done.out.split(" s; ")[0].split()[-1])
    # 150 frames of 20 ms are what it believes before it has heard anything
    assert f"by {heard_s / (heard_s + 3.0):.0%}" in done.out
    last, first = json.loads(baseline(tmp_path, "show", "--json").out)
    assert last["stream"] == first["stream"] == "mic"
    assert last["front_end"] != first["front_end"]
    shown = baseline(tmp_path, "show").out.splitlines()
    assert [line.endswith("for another model") for line in shown] == [False, True]
    baseline(tmp_path, "reset")
    assert "no voice is known" in baseline(tmp_path, "show").out


def test_what_cannot_be_is_one_line(tmp_path: Path, model: str) -> None:
    quiet = tmp_path / "quiet.wav"
    soundfile.write(quiet, silence(2.0), 16_000)
    refused = {
        "no speech": ("enrol", "--model", model, str(quiet)),
        "learns no voices": ("enrol", "--model", "lightweight-emodb", str(SPEECH_FILE)),
        "name the daemon's settings": ("enrol", "--stream", "attic", str(SPEECH_FILE)),
        "no voice of stream": ("reset", "--stream", "attic"),
        "nowhere.wav": ("enrol", "--model", model, str(tmp_path / "nowhere.wav")),
    }
    for complaint, arguments in refused.items():
        assert complaint in baseline(tmp_path, *arguments).refusal
    assert not (tmp_path / "kept").exists()


def settings_with(tmp_path: Path, text: str) -> str:
    """The option that names a settings file of that content."""
    file = tmp_path / "config.toml"
    file.write_text(text)
    return f"--settings={file}"


def test_each_network_microphone_has_its_own(tmp_path: Path, model: str) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"kitchen {'k' * 16}\nhall {'h' * 16}\n")
    tokens.chmod(0o600)
    settings = settings_with(
        tmp_path,
        f"""[audio]
        source = "tls://127.0.0.1:7790"
        tokens = "{tokens}"
        certificate = "not.needed"
        certificate_key = "not.needed"
        """,
    )
    enrol = ("enrol", settings, "--model", model)
    done = baseline(tmp_path, *enrol, "--stream", "hall", str(SPEECH_FILE))
    assert done.code == 0, done.err
    (shown,) = json.loads(baseline(tmp_path, "show", "--json").out)
    assert shown["stream"] == "hall"
    refused = {
        "there is kitchen, hall": (*enrol, str(SPEECH_FILE)),
        "no such source; there is kitchen": (*enrol, "--stream", "network", str(SPEECH_FILE)),
        "name sound files": (*enrol, "--stream", "kitchen"),
    }
    for complaint, arguments in refused.items():
        assert complaint in baseline(tmp_path, *arguments).refusal


@pytest.mark.parametrize("source", [str(SPEECH_FILE), "-"])
def test_what_no_daemon_would_keep_is_not_enrolled(tmp_path: Path, model: str, source: str) -> None:
    settings = settings_with(
        tmp_path,
        f"""[[source]]\nsource = "{source}"\nstream = "st3"\n[[source]]\nsource = "mic"\n""",
    )
    enrol = ("enrol", settings, "--model", model)
    done = baseline(tmp_path, *enrol, "--stream", "st3", str(SPEECH_FILE))
    assert "'st3': no baseline is kept for sound files" in done.refusal
    assert "mic" in baseline(tmp_path, *enrol, str(SPEECH_FILE)).out


def test_a_voice_that_the_service_does_not_get_is_said_to_be_ones_own(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (service := tmp_path / "edgeser.toml").touch()
    monkeypatch.setattr("edgeser.paths.SERVICE_SETTINGS", service)
    env = {"EDGESER_BASELINE_PATH": str(tmp_path / "kept")}
    enrol = ["baseline", "enrol", "--model", model, str(SPEECH_FILE)]
    said = CliRunner().invoke(main, enrol, env=env).stdout
    assert f"for the service, --settings {service}" in said
    said = CliRunner().invoke(main, [*enrol, "--settings", str(service)], env=env).stdout
    assert "sentences" in said
    assert "for the service" not in said


def test_sudo_is_advised_only_where_it_helps(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("")
    refusal = baseline(tmp_path, "reset", "--stream", "mic").refusal
    assert "Not a directory" in refusal
    assert "try sudo" not in refusal
