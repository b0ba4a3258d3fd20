"""Who may connect."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeser.audio.network.tokens import read_tokens
from edgeser.audio.source import SourceError
from tests.audio.network.serving import HALL, KITCHEN


def test_tokens_are_read_and_a_wrong_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# ours\n\nkitchen {KITCHEN}\nupper hall  {HALL}\n")
    file.chmod(0o640)
    assert list(read_tokens(file).values()) == ["kitchen", "upper hall"]
    file.chmod(0o644)
    with pytest.raises(SourceError, match="others may read it"):
        read_tokens(file)
    file.chmod(0o600)
    wrong = {
        "kitchen short": "line 1: expected a token",
        KITCHEN: "line 1: expected a name",
        f"a {KITCHEN}\na {HALL}": "line 2: its name or token is already used",
        f"a {KITCHEN}\nb {KITCHEN}": "line 2: its name or token is already used",
        "# none": "expected 1 to 1000, got 0",
    }
    for text, message in wrong.items():
        file.write_text(text)
        with pytest.raises(SourceError, match=message):
            read_tokens(file)
    with pytest.raises(SourceError, match=r"No such file.*; name a file that this user may read"):
        read_tokens(tmp_path / "none")
