"""The page's files are not there: what is said depends on where the package lies."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from edgeser.errors import UserError
from edgeser.page import assets


def refusal(copy: Path) -> str:
    """What a copy of the module says there, without npm's files beside it."""
    copy.parent.mkdir(parents=True)
    shutil.copy(assets.__file__, copy)
    spec = importlib.util.spec_from_file_location("copied_assets", copy)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(UserError) as refused:
        module.check_assets()
    return str(refused.value)


def test_only_a_checkout_is_told_of_its_command(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/page_assets.py").touch()
    assert "run 'make page-assets'" in refusal(tmp_path / "edge/edgeser/page/assets.py")
    installed = refusal(tmp_path / "lib/python3/site-packages/edgeser/page/assets.py")
    assert "make page-assets" not in installed
    assert "install npm, then edgeser again" in installed
