"""The scores of the last two minutes in Debian's Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .browsing import opened, shows
from .world import Daemon, PageProcess, emotion, status, until

EDGE_PX = 30
"""Where the plot begins in its canvas (``static/chart.js``)."""

NOTE_NAMES = """window.names = {}; const fill = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
    window.names[text] = x - this.measureText(text).width / 2;
    fill.call(this, text, x, y);
};"""
HEARD = """([first, scores]) => {
    const { state, changed } = window.edgeser;
    const { points } = state.streams.get('mic');
    const [one] = points;
    const now = Date.now() / 1000 + state.skew;
    points.length = 0;
    for (let back = first; back > 0; back -= 0.5) {
        const time = now - back;
        const turn = scores[points.length % scores.length];
        points.push({ ...one, time, from: time - 0.5, scores: turn });
    }
    window.names = {};
    changed();
}"""
"""Windows of one segment, one each half a second, since so many seconds ago."""


@contextmanager
def names_of(
    browser: Any, page: PageProcess, daemon: Daemon, first: float, *scores: dict[str, float]
) -> Iterator[dict[str, float]]:
    """The names that are drawn in bands, and where in the canvas each begins."""
    with opened(browser, page, script=NOTE_NAMES) as tab:
        shows(tab, "80 %", lambda: daemon.tell(status(), emotion("happy", segment=810, end=2.0)))
        tab.evaluate(HEARD, [first, scores])
        until(lambda: "happy" in tab.evaluate("window.names"), "a name")
        yield tab.evaluate("window.names")


def test_a_band_too_thin_for_its_name_has_none(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    """Two scores that change places with every window would have their names in each other."""
    rest = {"angry": 0.0, "happy": 0.4}
    turns = [{**rest, "neutral": 0.58, "sad": 0.02}, {**rest, "neutral": 0.02, "sad": 0.58}]
    with names_of(browser, page, daemon, 20.0, *turns) as names:
        assert not {"neutral", "sad"} & set(names)


def test_a_name_is_not_cut_where_its_segment_is(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    begins = {"angry": 0.0, "happy": 1.0, "neutral": 0.0, "sad": 0.0}
    goes_on = {"angry": 0.0, "happy": 0.6, "neutral": 0.2, "sad": 0.2}
    scores = [begins] * 8 + [goes_on] * 50
    with names_of(browser, page, daemon, 124.0, *scores) as names:
        assert names["happy"] >= EDGE_PX
