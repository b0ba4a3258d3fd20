"""How the page's front end is fetched and cached by browsers, and the error if it is missing."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from edgeser.errors import UserError
from edgeser.page import assets
from tests.disks import filled

from .browsing import opened, shows
from .world import PageProcess

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def page_assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The tool, for a page in ``tmp_path`` that wants one file, which npm brings there."""
    monkeypatch.setattr(sys, "path", [str(TOOLS), *sys.path])
    import page_assets  # type: ignore[import-not-found]

    wanted = {"dependencies": {}, "sha256": {"lib/a.js": hashlib.sha256(b"code").hexdigest()}}
    (tmp_path / "package.json").write_text(json.dumps(wanted))
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\nmkdir -p node_modules/lib\nprintf code >node_modules/lib/a.js\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(page_assets, "FILES", {"a.js": "lib/a.js"})
    monkeypatch.setattr(page_assets, "PAGE", tmp_path)
    monkeypatch.setattr(page_assets, "VENDOR", tmp_path / "vendor")
    return page_assets


def test_a_folder_that_cannot_be_made_anew_is_one_line(
    page_assets: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    page_assets.VENDOR.write_text("a file, which is not replaced")
    assert page_assets.main() == 2
    told = capsys.readouterr().err
    assert told.startswith("edgeser: the page's front end: ")
    assert told.count("\n") == 1
    assert f"whose is {page_assets.VENDOR}?" in told


def test_a_temporary_folder_without_room_is_one_line(
    page_assets: Any,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled(small_disk)
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    assert page_assets.main() == 2
    told = capsys.readouterr().err
    assert "No space left on device" in told
    assert told.count("\n") == 1


def test_a_file_that_a_full_disk_cut_off_is_brought_again(page_assets: Any) -> None:
    assert page_assets.main() == 0
    assert page_assets.is_complete()
    for file in page_assets.VENDOR.iterdir():
        file.write_text("")
    assert not page_assets.is_complete()
    assert page_assets.main() == 0
    assert (page_assets.VENDOR / "a.js").read_text() == "code"


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


def test_a_browser_asks_whether_a_file_is_that_of_before_an_upgrade(page: PageProcess) -> None:
    code, headers, _ = page.get("/static/app.js")
    assert (code, headers["cache-control"]) == (200, "no-cache")
    code, headers, body = page.get("/static/app.js", if_none_match=headers["etag"])
    assert (code, headers["cache-control"], body) == (304, "no-cache", b"")


def test_a_second_visit_fetches_no_file_again(browser: Any, page: PageProcess) -> None:
    fetched = """performance.getEntriesByType('resource').filter((file) =>
        file.name.includes('/static/') && file.transferSize > 0).map((file) => file.name)"""
    with opened(browser, page) as tab:
        shows(tab, "Now")
        assert any(name.endswith("/past.js") for name in tab.evaluate(fetched))
        tab.reload()
        shows(tab, "Now")
        assert tab.evaluate(fetched) == []


def test_a_changed_file_has_another_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(assets.STATIC, tmp_path / "static")
    monkeypatch.setattr(assets, "STATIC", copy)
    before = assets.front_page()
    assert assets.front_page() == before
    with (copy / "past.js").open("a") as script:
        script.write("// changed")
    assert assets.front_page() != before
