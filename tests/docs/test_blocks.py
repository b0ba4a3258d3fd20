"""Every block of code in the README and the documentation runs, or reasons.py says why not."""

from __future__ import annotations

import configparser
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import soundfile
import yaml

from edgeser.bench import SPEECH_FILE
from edgeser.settings.load import load_settings
from tests.docs import blocks, reasons, shell
from tests.docs.blocks import ROOT, Block
from tests.sounds import speech
from tests.train.test_extending import make_tones

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHELL = blocks.of("sh")
PYTHON = [block for block in blocks.of("python") if block.page not in reasons.PYTHON]
COMMANDS = [
    (block, command)
    for block in SHELL
    for line in shell.lines(block.text)
    for command in shell.commands(line)
]
RUN = [
    (block, line)
    for block in SHELL
    for line in shell.lines(block.text)
    if block.page not in reasons.PAGES
    and not any(shell.reason(command) for command in shell.commands(line))
]
TYPED = ("README.md", "docs/library.md", "docs/tutorials/application.md")
PATIENCE_S = 600


@pytest.fixture(scope="module")
def world() -> Iterator[dict[str, str]]:
    """The environment of a user who has a recording, a corpus and a journal at home."""
    with tempfile.TemporaryDirectory(prefix="edgeser-") as name:
        folder = Path(name)
        tones = make_tones(folder / "tones")
        with (folder / "corpus.csv").open("w") as file:
            rows = csv.writer(file)
            rows.writerow(("path", "speaker", "label"))
            for path in sorted(tones.glob("*.wav")):
                rows.writerow((path, *path.stem.split("-")[:2]))
        (folder / "calls").mkdir()
        (folder / "anna").mkdir()
        for path in ("talk.wav", "calls/one.wav", "anna/1.wav", "anna/2.wav"):
            soundfile.write(folder / path, speech()[: 16_000 * 8], 16_000)
        (folder / "list.csv").write_text("path,speaker\nanna/1.wav,anna\nanna/2.wav,anna\n")
        (folder / "talk.flac").symlink_to(SPEECH_FILE)
        folders = {f"XDG_{kind}": name for kind in ("RUNTIME_DIR", "STATE_HOME", "CONFIG_HOME")}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        room = {**os.environ, **folders, "HOME": name, "PATH": path}
        room["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        run("edgeser run --source talk.wav --fast --once", room)
        yield room


def run(line: str, world: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-ec", line],
        cwd=world["HOME"],
        env=world,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(
    ("block", "command"), COMMANDS, ids=lambda x: x if isinstance(x, str) else None
)
def test_a_command_is_understood(block: Block, command: list[str]) -> None:
    if words := shell.edgeser_words(command):
        # The model that docs/extending.md makes is not installed here.
        shell.check_options(["lightweight" if word == "tiny" else word for word in words])
    elif "make" in command[:2]:
        target = next(word for word in command[1:] if word != "make")
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), target
    elif "pip" in command[:2]:
        wanted = re.findall(r"edgeser\[([\w,]+)\]", " ".join(command))
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert set(",".join(wanted).split(",")) - {""} <= set(known["optional-dependencies"])


@pytest.mark.parametrize(("block", "line"), RUN, ids=lambda x: str(x)[:60])
def test_a_line_of_shell_runs(block: Block, line: str, world: dict[str, str]) -> None:
    run(line, world)


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_runs(block: Block, world: dict[str, str]) -> None:
    """What reads the events of a daemon runs until it has printed something."""
    if "Subscriber(" not in block.text:
        assert run(f"python - <<'END'\n{block.text}\nEND", world)
        return
    printed = Path(world["HOME"]) / "printed"
    with printed.open("w") as file:
        listener = subprocess.Popen(
            [sys.executable, "-u", "-c", block.text], stdout=file, env=world, cwd=world["HOME"]
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not printed.read_text() and time.monotonic() < deadline:
            run("edgeser run --source talk.wav --once", world)  # long enough to be found
            assert listener.poll() is None
        assert printed.read_text()
    finally:
        listener.kill()
        listener.wait()


def test_python_for_applications_is_typed(tmp_path: Path) -> None:
    """A program that begins as a copy of one passes ``mypy --strict``."""
    for block in blocks.of("python"):
        if block.page in TYPED:
            name = f"{Path(block.page).stem.lower()}_{block.line}.py"
            (tmp_path / name).write_text(block.text)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *map(str, tmp_path.iterdir())],
        cwd=ROOT,  # its settings are strict
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", blocks.of("toml"), ids=str)
def test_settings_are_accepted(block: Block, tmp_path: Path) -> None:
    if "project" in tomllib.loads(block.text):
        assert block.page in reasons.PYTHON
        return
    file = tmp_path / "edgeser.toml"
    file.write_text(block.text)
    load_settings(file, {})


@pytest.mark.parametrize("block", blocks.of("json", "yaml", "ini", "csv"), ids=str)
def test_its_form_is_right(block: Block) -> None:
    if block.language == "json":
        assert json.loads(block.text) == msgspec.json.decode(block.text)
    elif block.language == "yaml":
        assert yaml.safe_load(block.text)
    elif block.language == "ini":
        units = configparser.ConfigParser(strict=False, interpolation=None)
        units.read_string(block.text)
        assert units.sections()
    else:
        assert len({len(row) for row in csv.reader(block.text.splitlines())}) == 1


def test_every_other_block_is_text_and_no_command() -> None:
    read = {"sh", "python", "toml", "json", "csv", *reasons.OTHER}
    for block in blocks.all_blocks():
        if block.language in ("", "text"):
            first = block.text.split()[0]
            assert first not in ("edgeser", "make", "pip", "sudo"), f"{block}: say that it is sh"
        else:
            assert block.language in read, f"{block}: nothing reads {block.language}"


def test_every_reason_is_needed() -> None:
    used = {shell.rule(command) for _, command in COMMANDS}
    assert set(reasons.COMMANDS) - used == set()
    assert set(reasons.PAGES) <= {block.page for block in SHELL}
    pages = {block.page for block in blocks.of("python")}
    assert set(reasons.PYTHON) <= pages
    assert set(reasons.OTHER) <= {block.language for block in blocks.all_blocks()}
