"""The Python code of docs/library.md does what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

import edgeser
from tests.sounds import speech

PAGE = Path(__file__).parent.parent / "docs" / "library.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
RUNNABLE = [block for block in BLOCKS if "Subscriber" not in block]


def test_every_public_name_is_in_its_table() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    for name in edgeser.__all__:
        assert any(f"`{name}`" in row for row in rows) or name == "__version__", name


def test_every_block_is_python() -> None:
    assert len(BLOCKS) == 7
    for block in BLOCKS:
        compile(block, str(PAGE), "exec")


@pytest.mark.parametrize("block", RUNNABLE, ids=lambda block: block.splitlines()[-1].strip()[:30])
def test_it_runs(block: str, tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    for path in ("talk.wav", "anna/1.wav", "anna/2.wav"):
        soundfile.write(tmp_path / path, speech(), 16_000)
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    if "talk.wav" in block:
        assert len(done.stdout.splitlines()) == 5
    if "anna" in block:
        assert len(done.stdout.splitlines()) == 10
    if "no-such-model" in block:
        assert re.search(r"no-such-model.* \| .*edgeser models", done.stdout), done.stdout
