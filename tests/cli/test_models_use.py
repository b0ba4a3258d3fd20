"""``edgeser models use``: the settings are changed with care, and the daemon takes the model up."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from edgeser.errors import UserError
from edgeser.settings.choice import choose, with_model
from tests.model.test_model import rewritten
from tests.sounds import SPEECH_FILE
from tests.system.daemons import edgeser, running
from tests.unprivileged import unprivileged

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


def test_of_a_daemon_on_tcp_alone_it_does_not_say_that_none_runs(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text('[events]\nbind = ["tcp://127.0.0.1:7788"]\n')
    out = edgeser("models", "use", OTHER, "--settings", str(file)).out
    assert out.endswith("over which no daemon can be told to reload: reload it\n")


def test_a_new_settings_file_is_said_to_be_new(tmp_path: Path) -> None:
    where = ("--settings", str(tmp_path / "typo.toml"))
    assert f"{where[1]} (new file): " in edgeser("models", "use", OTHER, *where).out
    assert "new file" not in edgeser("models", "use", OTHER, *where).out


def test_a_folder_that_is_missing_is_named_with_the_ways_out(tmp_path: Path) -> None:
    file = tmp_path / "none" / "edgeser.toml"
    refusal = edgeser("models", "use", OTHER, "--settings", str(file)).refusal
    assert f"settings {file}: there is no folder {file.parent}; " in refusal
    assert "--settings FILE, or try a model with 'edgeser run --model FILE'" in refusal


def test_whoever_may_not_change_the_settings_is_told_how(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text(f"[model]\n{LINE}")
    tmp_path.chmod(0o500)
    with unprivileged(), pytest.raises(UserError, match=r"cannot be changed: .*; try sudo"):
        choose(file, "streaming6", OTHER)
    tmp_path.chmod(0o700)
    assert file.read_text() == f"[model]\n{LINE}"


def test_a_model_that_drifts_is_not_chosen(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text("[speech]\n")
    wrong = rewritten(
        tmp_path, {"golden": [{"seed": 1, "seconds": 1.0, "scores": [0.9, 0.1, 0, 0, 0, 0]}]}
    )
    refusal = edgeser("models", "use", str(wrong), "--settings", str(file)).refusal
    assert "deviates from its golden vectors" in refusal
    assert file.read_text() == "[speech]\n"
    back = ("models", "use", "--rollback", "--settings", str(file))
    assert (
        "previous model is not known (edgeser.toml.model-before is not there)"
        in edgeser(*back).refusal
    )
    (tmp_path / "edgeser.toml.model-before").write_bytes(b"\xff")
    assert "(edgeser.toml.model-before cannot be read: no UTF-8)" in edgeser(*back).refusal


def test_a_daemon_that_runs_takes_it_up(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text("")
    with running("--settings", str(file), "--source", str(SPEECH_FILE)) as daemon:
        daemon.wait_for("self.statuses", 300)
        file.write_text(f'[events]\nbind = ["{daemon.endpoint}"]\n')
        done = edgeser("models", "use", OTHER, "--settings", str(file))
        assert done.code == 0, done.err
        assert f"the daemon (pid {daemon.process.pid}) runs {OTHER} " in done.out


def test_a_daemon_that_hears_no_sound_takes_it_up_too(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text("")
    with socket.create_server(("127.0.0.1", 0)) as free:
        source = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with running("--settings", str(file), "--source", source) as daemon:
        daemon.wait_for("self.state == 'no_audio'", 300)
        file.write_text(f'[events]\nbind = ["{daemon.endpoint}"]\n')
        done = edgeser("models", "use", OTHER, "--settings", str(file))
        assert done.code == 0, done.err
        assert f"the daemon (pid {daemon.process.pid}) runs {OTHER} " in done.out


def test_what_the_daemon_refuses_leaves_the_settings_as_they_were(tmp_path: Path) -> None:
    file, memory = tmp_path / "edgeser.toml", tmp_path / "edgeser.toml.model-before"
    file.write_text("")
    labels = {"EDGESER_MODEL_LABELS": "fearful,disgusted"}  # which the other model does not know
    where = ("--settings", str(file))
    with running(*where, "--source", str(SPEECH_FILE), env=labels) as daemon:
        daemon.wait_for("self.statuses", 300)
        text = f'# ours\r\n[events]\r\nbind = ["{daemon.endpoint}"]\r\n'
        for before in (None, b"moonshine6\n"):
            file.write_bytes(text.encode())
            file.chmod(0o640)
            if before is not None:
                memory.write_bytes(before)
            refusal = edgeser("models", "use", OTHER, *where).refusal
            assert f"the daemon (pid {daemon.process.pid}) refused: " in refusal
            assert f"{file} is as it was" in refusal
            assert file.read_bytes() == text.encode()
            assert file.stat().st_mode & 0o777 == 0o640
            assert (memory.read_bytes() if memory.exists() else None) == before


def test_what_no_daemon_could_run_is_not_chosen(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    for text, why in (
        ('[model]\nlabels = ["fearful", "disgusted"]\n', "fearful"),
        ("[speech]\nmax_seconds = 3600\n", "max_seconds"),
    ):
        file.write_text(text)
        assert why in edgeser("models", "use", OTHER, "--settings", str(file)).refusal
        assert file.read_text() == text


def test_choosing_it_again_keeps_the_one_before(tmp_path: Path) -> None:
    where = ("--settings", str(tmp_path / "edgeser.toml"))
    for name in ("voices6", OTHER, OTHER):
        assert edgeser("models", "use", name, *where).code == 0
    assert f"{OTHER} before, voices6 now" in edgeser("models", "use", "--rollback", *where).out


def test_a_link_stays_a_link_and_a_loop_is_one_line(tmp_path: Path) -> None:
    file, link, loop = (tmp_path / name for name in ("real.toml", "link.toml", "loop.toml"))
    file.write_text("[speech]\n")
    link.symlink_to(file)
    loop.symlink_to(loop)
    assert edgeser("models", "use", OTHER, "--settings", str(link)).code == 0
    assert link.is_symlink()
    assert LINE in file.read_text()
    refusal = edgeser("models", "use", OTHER, "--settings", str(loop)).refusal
    assert f"settings {loop}: " in refusal
