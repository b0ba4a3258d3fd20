"""How the page's front end is brought: npm is asked for nothing here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


def test_a_folder_that_cannot_be_made_anew_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", [str(TOOLS), *sys.path])
    import page_assets  # type: ignore[import-not-found]

    npm, vendor = tmp_path / "npm", tmp_path / "vendor"
    npm.write_text("#!/bin/sh\n")
    npm.chmod(0o755)
    vendor.write_text("a file, which is not replaced")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(page_assets, "FILES", {})
    monkeypatch.setattr(page_assets, "VENDOR", vendor)
    monkeypatch.setattr(page_assets, "is_complete", lambda: False)
    assert page_assets.main() == 2
    told = capsys.readouterr().err
    assert told.startswith("edgeser: the page's front end: ")
    assert told.count("\n") == 1
    assert f"whose is {vendor}?" in told
