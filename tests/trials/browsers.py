"""The page in Debian's Firefox and WebKitGTK: does it show and do there what it does in Chromium?

python tests/trials/browsers.py [--only firefox|webkit] [--pictures FOLDER]

A publisher with a journal, its page, and a real browser, in which it clicks, drags and types.
``--pictures`` keeps one of each view. Exit code 1 if something is wrong. Much more is tested in
Chromium (``tests/page``).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import script
from tests.page import webdriver
from tests.page.browsing import WIDER
from tests.page.webdriver import TAB, UP, Tab
from tests.page.world import (
    Daemon,
    PageProcess,
    conversation,
    days_of_speech,
    emotion,
    level,
    status,
    until,
    write_journal,
)

BROWSERS = {"firefox": webdriver.firefox, "webkit": webdriver.webkit}
ROOMS = [f"room {number}" for number in range(1, 31)]
DESK, PHONE = (1400, 900), (390, 844)

IS_DRAWN = """(() => { const canvas = document.querySelector('.scores canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const colour = getComputedStyle(document.querySelector('.scorebars i')).backgroundColor;
    for (let i = 0; i < data.length; i += 4)
        if (colour === `rgb(${data[i]}, ${data[i + 1]}, ${data[i + 2]})`) return true;
    return false; })()"""
FOCUSED = "getComputedStyle(document.activeElement).outlineWidth"
DAY, HEADING = "input[type=date]", ".step h2"
SPAN = "document.querySelector('.timeline .plot').ariaLabel"
ANOTHER_DAY = f"""(() => {{ const field = document.querySelector('{DAY}');
    field.value = '2024-05-05';
    return field.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()"""


class Trial:
    """A browser that looks at the page of a daemon."""

    def __init__(self, tab: Tab, folder: Path, pictures: Path | None) -> None:
        self._tab = tab
        self._folder = folder
        self._pictures = pictures
        now = time.time()
        recent = [(now - 122 + at, event) for at, events in conversation(112) for event in events]
        write_journal(folder / "journal.db", [*days_of_speech(3, now, 300), *recent])
        self._daemon = Daemon(f"ipc://{folder}/events.sock", folder / "journal.db")
        self._page = self._served()

    def close(self) -> None:
        self._page.close()
        self._daemon.stop()

    def what_is_heard_is_seen_and_drawn(self) -> None:
        self._tab.open(self._page.url)
        self._tab.size(*DESK)
        told = (status("speech"), emotion("happy", segment=90, end=2.0))
        self._shows("Happy", lambda: self._daemon.tell(*told))
        self._shows("−22 dBFS", lambda: self._daemon.tell(level(-22.0, talking=True)))
        until(lambda: self._tab.get(IS_DRAWN), "scores in the colours of their names")
        self._picture("now")

    def the_timeline_is_turned_dragged_and_typed_at(self) -> None:
        self._view("past")
        self._yesterday()
        self._picture("past")
        x, y = self._tab.middle(".grab")
        moves: dict[str, Callable[[], None]] = {
            "wheel": lambda: self._tab.wheel((x, y), -120),
            "mouse": lambda: self._tab.drag((x, y), (x + 60, y), (x + 200, y)),
            "keys": lambda: self._tab.press("+"),
        }
        for what, move in moves.items():
            before = self._tab.get(SPAN)
            move()
            until(lambda before=before: self._tab.get(SPAN) != before, f"moved by {what}")

    def a_date_is_typed(self) -> None:
        self._tab.get(ANOTHER_DAY)
        until(lambda: "2024" in self._tab.text(HEADING), "another day")
        before = self._tab.text(HEADING)
        self._tab.get(f"document.querySelector('{DAY}').focus()")
        self._tab.press(UP)
        self._tab.click(".grab")
        until(lambda: self._tab.text(HEADING) != before, "the next day, or month")
        assert "2024" in self._tab.text(HEADING), self._tab.text(HEADING)
        self._tab.click(".toolbar .plain")  # today
        self._yesterday()

    def what_is_found_is_saved(self) -> None:
        until(lambda: self._tab.get("document.querySelector('.found tbody tr')"), "a list")
        for kind in ("csv", "json"):
            self._tab.click(f".found a[href*='.{kind}']")
            saved = self._tab.downloads / f"edgeser-events.{kind}"
            until(saved.exists, saved.name)
            _, _, every = self._page.get(f"/api/events.{kind}")
            found, known = (
                {line.strip(b"[],") for line in text.splitlines()}
                for text in (saved.read_bytes(), every)
            )
            assert len(found) > 10, f"{saved.name}: {len(found)} lines"
            assert found <= known, f"{saved.name}: lines that are not in the journal"

    def a_month_and_the_health_are_seen(self) -> None:
        self._tab.click(".toolbar .segmented button:last-child")
        until(lambda: self._tab.get("document.querySelector('.day .stack span')"), "a calendar")
        self._picture("month")
        self._view("health", "Dropped windows")
        self._shows("Unweighted accuracy")
        self._picture("health")

    def what_is_chosen_is_remembered(self) -> None:
        self._view("now", "Scores")
        self._tab.click(".scores .segmented button:last-child")
        self._tab.click("header .icon")
        self._tab.reload()
        self._shows("Scores", lambda: self._daemon.tell(status()))
        assert self._tab.text(".scores [aria-pressed=true]") == "lines"
        assert self._tab.get("document.documentElement.dataset.theme") == "light"

    def what_has_the_focus_is_seen(self) -> None:
        self._tab.get("document.querySelector('.brand').focus()")
        self._tab.press(TAB)
        assert self._tab.get(FOCUSED) == "3px", self._tab.get(FOCUSED)

    def many_streams_are_a_table(self) -> None:
        beats = [event for room in ROOMS for event in (status(stream=room), emotion(stream=room))]
        self._shows(ROOMS[-1], lambda: self._daemon.tell(*beats))
        self._picture("table")
        rows = ".row:not(.head) button"
        self._tab.click(rows)
        until(lambda: self._tab.get("document.querySelector('article canvas')"), "a row's card")

    def the_narrowest_window_needs_no_scrolling_aside(self) -> None:
        self._tab.size(*PHONE)  # or as near to it as the browser comes
        for view in ("past", "health", "now"):
            self._view(view)
            self._picture(f"narrow-{view}")
            assert self._tab.get(WIDER) <= 0, view
        self._tab.size(*DESK)

    def nothing_has_gone_wrong_meanwhile(self) -> None:
        assert self._tab.wrong() == []

    def a_server_that_was_away_is_found_again(self) -> None:
        self._view("now")
        port = self._page.port
        self._page.close()
        self._shows("This page has lost its server")
        self._page = self._served("--listen", f"127.0.0.1:{port}")
        told = (status("speech"), emotion("sad", segment=91, end=2.0))
        self._shows("Speech", lambda: self._daemon.tell(*told))

    def _served(self, *arguments: str) -> PageProcess:
        journal = ("--journal", str(self._daemon.journal))
        return PageProcess(
            "--connect", self._daemon.endpoint, *journal, *arguments, folder=self._folder
        )

    def _yesterday(self) -> None:
        """A whole day of speech, whatever the time is."""
        self._tab.click("[aria-label=Back]")
        self._shows("Mostly")

    def _view(self, name: str, words: str = "") -> None:
        self._tab.get(f"location.hash = '{name}'")
        until(lambda: self._tab.text("h1").lower() == name, f"the view '{name}'")
        self._shows(words)

    def _shows(self, words: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        def there() -> bool:
            meanwhile()
            return words in self._tab.text()

        until(there, f"{words!r} in {self._tab.text()[:300]!r}")

    def _picture(self, name: str) -> None:
        if self._pictures:
            self._tab.picture(self._pictures / f"{name}.png")


STEPS = (
    Trial.what_is_heard_is_seen_and_drawn,
    Trial.the_timeline_is_turned_dragged_and_typed_at,
    Trial.a_date_is_typed,
    Trial.what_is_found_is_saved,
    Trial.a_month_and_the_health_are_seen,
    Trial.what_is_chosen_is_remembered,
    Trial.what_has_the_focus_is_seen,
    Trial.many_streams_are_a_table,
    Trial.the_narrowest_window_needs_no_scrolling_aside,
    Trial.nothing_has_gone_wrong_meanwhile,
    Trial.a_server_that_was_away_is_found_again,
)
"""In this order: each begins where the one before ended."""


def holds(name: str, pictures: Path | None) -> bool:
    """Whether all steps pass in a browser; prints the first that does not, and stops there."""
    if pictures:
        pictures = pictures / name
        pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edgeser-") as made:
        folder, home = Path(made), Path(made) / "home"
        home.mkdir()
        with BROWSERS[name](home) as tab:
            trial = Trial(tab, folder, pictures)
            try:
                for step in STEPS:
                    said = f"{name}: {step.__name__.replace('_', ' ')}"
                    step(trial)
                    print(said, flush=True)
            except AssertionError as error:
                print(f"{said}: NO: {error}", flush=True)
                return False
            finally:
                trial.close()
    return True


def main() -> bool:
    parser = script.parser_of(__doc__)
    parser.add_argument("--only", choices=BROWSERS, help="one browser")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="keep pictures here")
    options = parser.parse_args()
    names = [options.only] if options.only else list(BROWSERS)
    found = [holds(name, options.pictures) for name in names]
    return all(found)


if __name__ == "__main__":
    script.run(main)
