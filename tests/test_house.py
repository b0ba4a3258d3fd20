"""Rules of the code: what may import what, and what a running daemon loads."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parent.parent
TRAINING = {"torch", "torchaudio", "lightning", "transformers", "edgeser_train", "edgeser_export"}


def test_the_daemons_process_loads_no_torch() -> None:
    code = (
        "import sys, edgeser.daemon.daemon, edgeser.recognizer\n"
        "import edgeser.cli.run, edgeser.audio.open\n"
        "edgeser.load_model()\n"
        f"print(sorted({TRAINING!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_daemon_at_a_microphone_loads_no_library_for_sound_files() -> None:
    code = (
        "import sys, edgeser.daemon.daemon, edgeser.cli.run\n"
        "from edgeser.audio.open import open_source\n"
        "open_source('mic')\n"
        "print(sorted({'soundfile', 'soxr'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_is_quick_to_import() -> None:
    code = (
        "import sys, edgeser.cli\n"
        "print(sorted({'numpy', 'onnxruntime', 'zmq', 'rich', 'sounddevice'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_there() -> None:
    import edgeser

    for name in edgeser.__all__:
        assert getattr(edgeser, name)
    assert {name for name in dir(edgeser) if not name.startswith("__")} == {
        name for name in edgeser.__all__ if not name.startswith("__")
    }
    with pytest.raises(AttributeError):
        edgeser.nothing  # noqa: B018


def test_the_page_on_architecture_names_the_rooms_as_the_contract_has_them() -> None:
    contracts = msgspec.toml.decode((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (c["layers"] for c in contracts["contracts"] if c.get("containers") == ["edgeser"])
    text = (ROOT / "docs" / "architecture.md").read_text()
    (table,) = re.findall(r"^\| room \| knows \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [re.findall(r"`(\w+)(?:/|\.py)`", row.split("|")[1]) for row in table.splitlines()]
    assert [sorted(row) for row in rows] == [
        sorted(layer.split(" | ")) for layer in layers if layer != "__main__"
    ]
