"""A tab of a browser that shows the page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .world import PATIENCE_S, PageProcess, until

DESK = {"width": 1440, "height": 900}

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
LISTEN_TO_WHAT_IS_SAID = """window.spoken = []; new MutationObserver(() => {
    const said = document.querySelector('[role=status]')?.innerText;
    if (said && said !== window.spoken.at(-1)) window.spoken.push(said);
}).observe(document, { subtree: true, childList: true, characterData: true });"""
BROKEN = """(parts) => [...document.querySelectorAll(parts.join())].filter((e) => {
    const words = document.createTreeWalker(e, NodeFilter.SHOW_TEXT);
    const lines = new Set();
    const range = document.createRange();
    while (words.nextNode()) {
        range.selectNodeContents(words.currentNode);
        for (const line of range.getClientRects()) lines.add(Math.round(line.top / 4));
    }
    return lines.size > 1 || e.scrollWidth > e.clientWidth + 1;
}).map((e) => e.textContent)"""


def noon() -> str:
    """A time zone where it is noon: where a day has just begun there is little of it to show."""
    return f"Etc/GMT{datetime.now(timezone.utc).hour - 12:+d}"


@contextmanager
def opened(
    browser: Any,
    page: PageProcess,
    view: str = "",
    size: dict[str, int] = DESK,
    *,
    clock: bool = False,
    script: str = "",
    **more: Any,
) -> Iterator[Any]:
    """A tab; the test fails if there was an error in it.

    ``clock``: a test can move its time instead of waiting. ``script``: runs before the page's own.
    """
    context = browser.new_context(**{"viewport": size, "locale": "en-GB", **more})
    if clock:
        context.clock.install()
    context.add_init_script(script)
    tab = context.new_page()
    tab.set_default_timeout(1000 * PATIENCE_S)
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda m: wrong.append(m.text) if "Security Policy" in m.text else None)
    try:
        tab.goto(f"{page.url}/{view}")
        yield tab
        assert wrong == []
    finally:
        context.close()


def shows(tab: Any, words: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    def there() -> bool:
        meanwhile()
        return words in tab.inner_text("body")

    until(there, f"{words!r} in {tab.inner_text('body')[:300]!r}")


def shot(tab: Any, name: str) -> None:
    """Save a screenshot in the folder EDGESER_SCREENSHOTS, if that is set."""
    if folder := os.environ.get("EDGESER_SCREENSHOTS"):
        tab.screenshot(path=Path(folder) / f"{name}.png")
