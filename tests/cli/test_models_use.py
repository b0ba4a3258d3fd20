"""``edgeser models use``: the settings are changed with care, and the daemon takes the model up."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeser.errors import UserError
from edgeser.settings.choice import with_model
from tests.model.test_model import rewritten
from tests.sounds import SPEECH_FILE
from tests.system.daemons import edgeser, running

OTHER = "lightweight-emodb-int8"
LINE = f'name = "{OTHER}"\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"[model]\n{LINE}"),
        ("[speech]\nvad_mode = 1\n", f"[speech]\nvad_mode = 1\n\n[model]\n{LINE}"),
        ("# mine\n[model]\n[speech]\n", f"# mine\n[model]\n{LINE}[speech]\n"),
        ('[model]  # which\nname = "a"  # old\n', f"[model]  # which\n{LINE}"),
        (
            '[[source]]\nname = "x"\n[model]\nbackend = "auto"\nname = "a"\n[journal]\n',
            f'[[source]]\nname = "x"\n[model]\nbackend = "auto"\n{LINE}[journal]\n',
        ),
        ("[model]", f"[model]\n{LINE}"),
    ],
)
def test_only_the_name_changes(before: str, after: str) -> None:
    assert with_model(before, OTHER) == after


@pytest.mark.parametrize("text", ['model.name = "a"\n', 'model = {name = "a"}\n', "[model\n"])
def test_what_cannot_be_changed_without_harm_is_left_to_the_user(text: str) -> None:
    with pytest.raises(UserError, match=f"set model.{LINE.strip()} in them"):
        with_model(text, OTHER)


def test_a_model_is_chosen_and_taken_back(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text('# ours\n[model]\nname = "lightweight-emodb"\n')
    file.chmod(0o640)
    where = ("--settings", str(file))
    assert "no daemon runs" in edgeser("models", "use", OTHER, *where).out
    assert file.read_text() == f"# ours\n[model]\n{LINE}"
    assert file.stat().st_mode & 0o777 == 0o640
    assert edgeser("models", "use", "--rollback", *where).code == 0
    assert file.read_text() == '# ours\n[model]\nname = "lightweight-emodb"\n'
    assert "either a model or --rollback" in edgeser("models", "use", *where).refusal


def test_a_new_settings_file_is_said_to_be_new(tmp_path: Path) -> None:
    where = ("--settings", str(tmp_path / "typo.toml"))
    assert f"{where[1]} (new file): " in edgeser("models", "use", OTHER, *where).out
    assert "new file" not in edgeser("models", "use", OTHER, *where).out


def test_a_model_that_drifts_is_not_chosen(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text("[speech]\n")
    wrong = rewritten(
        tmp_path, {"golden": [{"seed": 1, "seconds": 1.0, "scores": [0.9, 0.1, 0, 0, 0, 0]}]}
    )
    refusal = edgeser("models", "use", str(wrong), "--settings", str(file)).refusal
    assert "drifts from its golden vectors" in refusal
    assert file.read_text() == "[speech]\n"
    assert (
        "no model was chosen"
        in edgeser("models", "use", "--rollback", "--settings", str(file)).refusal
    )


def test_a_daemon_that_runs_takes_it_up(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text("")
    with running("--settings", str(file), "--source", str(SPEECH_FILE)) as daemon:
        daemon.wait_for("self.statuses", 300)
        file.write_text(f'[events]\nbind = ["{daemon.endpoint}"]\n')
        done = edgeser("models", "use", OTHER, "--settings", str(file))
        assert done.code == 0, done.err
        assert f"the daemon (pid {daemon.process.pid}) runs {OTHER} " in done.out
