"""The site is whole: nothing is left out, nothing leads nowhere, and it needs no network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import edgeser
from edgeser.cli import COMMANDS
from edgeser.model.artefact import shipped_models
from edgeser.settings.schema import Settings
from tests.page.world import chromium, until
from tools.documentation.dead_links import dead_links
from tools.documentation.pages import ROOT, SiteError, sections, stage, written


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "tools.documentation", "-o", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository of two pages."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(
        "# Small\n\n## Read on\n\n| to | read |\n|---|---|\n| run it | [one](docs/one.md) |\n"
    )
    (tmp_path / "docs" / "one.md").write_text("# One\n\n[front](../README.md)\n")
    return tmp_path


def test_every_page_says_of_which_version_it_is(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(written())
    for page in pages:
        text = page.read_text()
        assert f"This page documents edgeser {edgeser.__version__}" in text, page
        assert f"edgeser {edgeser.__version__}</title>" in text, page


def test_every_public_name_setting_command_and_model_is_in_the_reference(site: Path) -> None:
    python = (site / "reference" / "python.html").read_text()
    for name in (*edgeser.__all__, "Live.push", "Recognizer.samples", "Subscriber.position"):
        assert f'id="edgeser.{name}"' in python or name == "__version__", name
    for name in ("planned", "train", "evaluate"):
        assert f'id="edgeser_train.experiments.{name}"' in python
    assert "environ(" not in python, "defaults in signatures tell of who made the site"
    settings = (site / "reference" / "settings.html").read_text()
    for section in Settings.__struct_fields__:
        for key in getattr(Settings(), section).__struct_fields__ if section != "source" else ():
            assert f">{key}</span>" in settings, f"{section}.{key}"
    commands = (site / "reference" / "commands.html").read_text()
    for name in COMMANDS:
        assert f'id="edgeser-{name}"' in commands
    for name in shipped_models():
        assert (site / "reference" / "models" / f"{name}.html").is_file()
    card = (site / "reference" / "models" / "lightweight-emodb.html").read_text()
    assert card.count("<img") >= 3, "its plots: confusions, training, voices it never met"


def test_search_works_in_a_folder_without_network(site: Path) -> None:
    with chromium() as browser:
        context = browser.new_context(offline=True)
        tab = context.new_page()
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(f"file://{site}/search.html?q=watchdog")
        until(lambda: tab.locator("ul.search li a").count(), "results")
        tab.locator("ul.search li a", has_text="Reliability").first.click()
        until(lambda: "watchdog" in tab.inner_text("article"), "the page")
        assert [url for url in asked if not url.startswith("file://")] == []


def test_a_page_that_is_left_out_fails_the_build(small: Path) -> None:
    assert [row.caption for row in sections(small)] == ["Run it"]
    (small / "docs" / "two.md").write_text("# Two\n")
    with pytest.raises(SiteError, match=r"not in the README's table 'Read on': docs/two\.md"):
        sections(small)


def test_a_link_to_no_file_fails_the_build(small: Path, tmp_path: Path) -> None:
    (small / "docs" / "one.md").write_text("# One\n\n[gone](gone.md)\n")
    with pytest.raises(SiteError, match=r"docs/one\.md: the link 'gone\.md' leads to no file"):
        stage(tmp_path / "staged", small)


def test_dead_links_and_anchors_are_found(tmp_path: Path) -> None:
    links: Any = {"b.html": 0, "b.html#here": 0, "#top": 0, "https://example.org/x": 0}
    links |= {"c.html": 1, "b.html#there": 1, "#bottom": 1, "gone.png": 1}
    body = "".join(f'<a href="{link}">x</a>' for link in links)
    (tmp_path / "a.html").write_text(f'<h1 id="top">a</h1>{body}')
    (tmp_path / "b.html").write_text('<h1 id="here">b</h1>')
    assert dead_links(tmp_path) == sorted(f"a.html: {link}" for link, dead in links.items() if dead)
