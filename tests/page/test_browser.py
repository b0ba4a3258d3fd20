"""The page in Debian's Chromium: what is seen, in every state."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from .browsing import BROKEN, DESK, WIDER, noon, opened, shot, shows
from .world import (
    LABELS,
    Daemon,
    PageProcess,
    conversation,
    days_of_speech,
    emotion,
    fault,
    level,
    speech,
    status,
    until,
    write_journal,
)

PHONE = {"width": 390, "height": 844}

CONTRAST = """([over, under]) => {
    const light = (name) => {
        const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
        const part = (at) => parseInt(hex.slice(at, at + 2), 16) / 255;
        const linear = [1, 3, 5].map(part).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05;
    };
    return Math.max(light(over) / light(under), light(under) / light(over));
}"""  # noqa: E501
ON = [
    *((f"--on-{hue}", f"--{hue}") for hue in ("vermillion", "orange", "sky", "blue", "purple")),
    *((f"--on-{hue}", f"--{hue}") for hue in ("green", "yellow", "brown", "grey")),
    *(("--ink", f"--l{stage}") for stage in (0, 1, 2, 3, 5)),
    ("--surface", "--l4"),
    *(("--muted", paper) for paper in ("--paper", "--surface", "--sunken")),
    *((f"--{kind}", f"--{kind}-soft") for kind in ("good", "warn", "bad")),
]
"""What is written in which colour on which, of both themes."""
FAINT = """[...document.querySelectorAll('.stream *')].filter((e) => {
    const says = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
    for (let part = e; says && part; part = part.parentElement)
        if (getComputedStyle(part).opacity < 1 && !e.closest('.strip')) return true;
    return false;
}).map((e) => e.textContent)"""
COVERED = """[...document.querySelectorAll('.day:has(.sign)')].filter((day) => {
    const [number, sign, stack] = ['.number', '.sign', '.stack'].map((s) => day.querySelector(s).getBoundingClientRect());
    const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    return meet(number, sign) || meet(sign, stack);
}).map((day) => day.textContent)"""  # noqa: E501
NOTHING_KEPT = """Object.defineProperty(window, 'localStorage', {
    get() { throw new DOMException('The operation is insecure.', 'SecurityError'); } });"""
NO_LANGUAGE = "Object.defineProperty(Navigator.prototype, 'language', { get: () => 'C' });"
NOTE_FONTS = """window.fonts = {}; const fill = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...at) {
    window.fonts[text] = parseFloat(this.font.match(/[0-9.]+px/)[0]);
    fill.call(this, text, ...at);
};"""


@pytest.fixture(scope="module")
def daemon(folder: Path) -> Iterator[Daemon]:
    now = time.time()
    recent = [(now - 122 + at, event) for at, events in conversation(112) for event in events]
    past = [*days_of_speech(12, now, 300), *recent]
    write_journal(folder / "journal.db", past)
    daemon = Daemon(f"ipc://{folder}/events.sock", folder / "journal.db")
    yield daemon
    daemon.stop()


@pytest.mark.parametrize(
    ("name", "size", "more"),
    [
        ("light", DESK, {"color_scheme": "light"}),
        ("dark", DESK, {"color_scheme": "dark"}),
        ("phone", PHONE, {"color_scheme": "light", "is_mobile": True, "has_touch": True}),
        ("wall", {"width": 2560, "height": 1440}, {"color_scheme": "dark"}),
    ],
)
def test_speech_is_seen(
    browser: Any, page: PageProcess, daemon: Daemon, name: str, size: dict[str, int], more: Any
) -> None:
    with opened(browser, page, size=size, **more) as tab:
        daemon.tell(status("speech"), speech(90), emotion("happy", segment=90, end=2.0))
        shows(tab, "Happy", lambda: daemon.tell(status("speech"), level(-22.0, talking=True)))
        shows(tab, "−22 dBFS", lambda: daemon.tell(level(-22.0, talking=True)))
        for words in ("happy", "neutral", "sad", "angry", "Latency", " ms"):
            assert words in tab.inner_text("main")
        assert tab.evaluate(WIDER) <= 0
        shot(tab, name)


def test_speech_lasts_since_it_was_heard(browser: Any, page: PageProcess) -> None:
    """That it began is told only once it is sure."""
    since = """async () => {
        const { apply, newState } = await import('/static/state.js');
        const state = newState();
        const told = (event) => apply(state, { stream: 'mic', epoch: 'a', seq: 1, ...event });
        told({ type: 'level', time: 1000, level_dbfs: -22, speech: true });
        told({ type: 'speech', time: 1002, segment: 1, state: 'start' });
        return state.streams.get('mic').segmentFrom;
    }"""
    with opened(browser, page) as tab:
        assert tab.evaluate(since) == 1000


def test_a_phone_says_speech_and_listening_in_words(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    seen = "e => e.getBoundingClientRect().width"
    with opened(browser, page, size=PHONE, is_mobile=True) as tab:
        for state, word in (("speech", "Speech"), ("listening", "Listening")):
            shows(tab, word, lambda state=state: daemon.tell(status(state)))
            for width in (320, 360, 390, 560):
                tab.set_viewport_size({"width": width, "height": 844})
                assert tab.inner_text(".top .chip") == word
                assert tab.locator(".top .chip span").evaluate(seen) > 30, width
                assert tab.evaluate(BROKEN, [".top .chip span", "nav a"]) == [], width
                assert tab.evaluate(WIDER) <= 0, width


def test_nothing_moves_when_the_words_change(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    with opened(browser, page) as tab:
        places = []
        for segment, label in enumerate(("happy", "unknown", "sad", "neutral"), 200):
            scores = {"angry": 0.02, "happy": 0.9, "neutral": 0.05, "sad": 0.03}
            told = emotion(label, segment=segment, scores=scores, smoothed=label)
            shows(tab, label.title(), lambda told=told: daemon.tell(status("speech"), told))
            places.append([
                tab.evaluate(f"document.querySelector('{part}').getBoundingClientRect().top")
                for part in (".meter", ".scores", ".latency")
            ])  # fmt: skip
        assert places.count(places[0]) == len(places)


def test_silence_is_explained(browser: Any, page: PageProcess, daemon: Daemon) -> None:
    with opened(browser, page) as tab:
        shows(
            tab,
            "Is the microphone muted?",
            lambda: daemon.tell(status(level_dbfs=-100.0), level(-100.0, talking=False)),
        )
        shot(tab, "silence")


def test_that_it_is_muted_is_said(browser: Any, page: PageProcess, daemon: Daemon) -> None:
    with opened(browser, page) as tab:
        muted = msgspec.structs.replace(status(level_dbfs=None), muted=True)
        shows(tab, "until it is unmuted: edgeser mute off", lambda: daemon.tell(muted))
        assert tab.inner_text(".top .chip") == "Muted"
        said = tab.locator("[role=status]")
        until(lambda: daemon.tell(muted) or said.inner_text().endswith("Muted"), "it is said")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_can_be_read_on_their_colours(browser: Any, page: PageProcess, theme: str) -> None:
    with opened(browser, page, color_scheme=theme) as tab:
        low = {pair: tab.evaluate(CONTRAST, list(pair)) for pair in ON}
        assert {pair: ratio for pair, ratio in low.items() if ratio < 4.5} == {}  # WCAG 2, AA


def test_a_mood_that_was_is_not_said_to_last(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    heard = [emotion("sad", segment=710, end=2.0), speech(710, 2.0)]
    with opened(browser, page) as tab:
        shows(tab, "last heard", lambda: daemon.tell(*heard, status()))
        assert "the mood for" not in tab.inner_text("main")
        shows(
            tab, "the mood for", lambda: daemon.tell(status("speech"), level(-20.0, talking=True))
        )
        beat = lambda: daemon.tell(status("no_audio", level_dbfs=None))  # noqa: E731
        shows(tab, "No sound arrives", beat)
        assert tab.evaluate(FAINT) == []
        assert tab.get_attribute("[role=meter]", "aria-valuenow"), "an attribute that ARIA wants"


def test_what_is_a_day_old_has_its_day(browser: Any, page: PageProcess, daemon: Daemon) -> None:
    yesterday = """() => {
        const { state, changed } = window.edgeser;
        const time = Date.now() / 1000 - 86_400;
        state.faults.push({ time, stream: 'mic', code: 'audio_lost', message: 'gone', recovered: false });
        state.streams.get('mic').finals.unshift({ time, label: 'sad', confidence: 0.8, length: 1, id: 'x' });
        changed();
    }"""  # noqa: E501
    dated = re.compile(r"\d+ \w+, \d\d:\d\d")
    with opened(browser, page) as tab:
        shows(tab, "Latest segments", lambda: daemon.tell(status()))
        tab.evaluate(yesterday)
        until(lambda: dated.fullmatch(tab.inner_text(".finals li:first-child time")), "said")
        tab.click("nav >> text=Health")
        until(lambda: dated.fullmatch(tab.inner_text(".wide .faults li:first-child time")), "fault")


def test_letters_are_as_large_as_the_browser_is_set_to(browser: Any, page: PageProcess) -> None:
    with opened(browser, page) as tab:
        usual = tab.evaluate("parseFloat(getComputedStyle(document.body).fontSize)")
        large = {"fontSizes": {"standard": 24}}
        tab.context.new_cdp_session(tab).send("Page.setFontSizes", large)
        tab.reload()
        assert tab.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") > 1.3 * usual


def test_a_fault_is_seen_where_it_happened(browser: Any, page: PageProcess, daemon: Daemon) -> None:
    with opened(browser, page, color_scheme="dark") as tab:
        shows(tab, "mic", lambda: daemon.tell(status()))
        daemon.tell(fault("nothing came for 2.0 s"))
        beat = lambda: daemon.tell(status("no_audio", frame_age_s=9.0, level_dbfs=None))  # noqa: E731
        shows(tab, "No sound arrives", beat)
        shows(tab, "nothing came for 2.0 s", beat)
        shot(tab, "fault")


def test_sound_at_the_wrong_pace_is_named_whatever_came_last(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    wrong = msgspec.structs.replace(status("degraded"), wrong_pace=True)
    with opened(browser, page) as tab:
        shows(tab, "Working, with problems", lambda: daemon.tell(wrong))
        daemon.tell(fault("sound is back", code="audio_restored", recovered=True))
        shows(tab, "Sound arrives faster or slower than real time", lambda: daemon.tell(wrong))


def test_bars_of_all_labels_begin_and_end_in_line(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    scores = {
        "angry": 0.1,
        "disgusted": 0.3,
        "fearful": 0.2,
        "happy": 0.2,
        "neutral": 0.1,
        "sad": 0.1,
    }
    with opened(browser, page) as tab:
        told = emotion("disgusted", segment=319, end=2.0, scores=scores)
        shows(tab, "Disgusted", lambda: daemon.tell(status(), told))
        for width in (320, 375, 1440):
            tab.set_viewport_size({"width": width, "height": 900})
            edges = tab.evaluate(
                "[...document.querySelectorAll('.scorebars .track')]"
                ".map((e) => e.getBoundingClientRect()).map((b) => `${b.left} ${b.right}`)"
            )
            assert (len(edges), len(set(edges))) == (6, 1), width


def test_names_and_numbers_are_not_broken(browser: Any, page: PageProcess, daemon: Daemon) -> None:
    for segment, label in enumerate(LABELS, 320):
        daemon.tell(emotion(label, segment=segment, kind="final", end=2.0))
    with opened(browser, page, locale="en-US") as tab:
        shows(tab, "Latest segments", lambda: daemon.tell(status()))
        until(lambda: tab.locator(".finals .name").count() > 3, "finals")
        for width in (320, 390, 834, 1024, 1280, 1440, 2560):
            tab.set_viewport_size({"width": width, "height": 900})
            assert tab.evaluate(BROKEN, [".finals li > *"]) == [], width
            assert tab.evaluate(WIDER) <= 0, width
        tab.set_viewport_size(PHONE)
        tab.click("nav >> text=Past")
        tab.click("[aria-label=Back]")
        until(lambda: tab.locator(".found td.over").count(), "a fault that is over")
        parts = [
            ".names li",
            ".found th",
            ".found td:first-child",
            ".found td.n",
            ".found td .name",
        ]
        assert tab.evaluate(BROKEN, parts) == []
        assert tab.evaluate(WIDER) <= 0
        colour = "e => getComputedStyle(e).backgroundColor"
        over = tab.locator(".found td.over .sign").first.evaluate(colour)
        assert over != tab.locator(".found td:not(.over) .sign").first.evaluate(colour)


def test_a_fault_in_the_calendar_covers_no_number(browser: Any, page: PageProcess) -> None:
    with opened(browser, page, "#past") as tab:
        for _ in range(3):  # a month of which some days are over
            tab.click("[aria-label=Back]")
        tab.click("text=Month")
        until(lambda: tab.locator(".day .sign").count(), "a day with a fault")
        for width in (320, 390, 834, 1280):
            tab.set_viewport_size({"width": width, "height": 900})
            assert tab.evaluate(COVERED) == [], width
        assert "fault" in tab.locator(".day:has(.sign)").first.get_attribute("aria-label")


def test_a_browser_that_keeps_nothing_of_sites_shows_the_page(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    """The headless Chromium has no setting for that; this is how it then is for a script."""
    with opened(browser, page, script=NOTHING_KEPT) as tab:
        told = emotion("sad", segment=330, end=2.0)
        shows(tab, "Scores, last two minutes", lambda: daemon.tell(status(), told))
        tab.click("text=lines")
        tab.click("[aria-label^=Theme]")
        assert tab.evaluate("document.documentElement.dataset.theme") == "light"


def test_a_browser_whose_language_is_none_draws_charts(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    """WebKitGTK names such a one where the system has no locale."""
    with opened(browser, page, script=NO_LANGUAGE) as tab:
        shows(tab, "Scores, last two minutes", lambda: daemon.tell(status()))
        until(lambda: tab.locator(".scores canvas").count(), "a chart")


def test_an_axis_can_be_read_where_pixels_are_small(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    with opened(browser, page, device_scale_factor=2, script=NOTE_FONTS) as tab:
        shows(tab, "Scores, last two minutes", lambda: daemon.tell(status()))
        until(lambda: tab.evaluate("window.fonts.now"), "the axis")
        size = tab.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
        assert size < tab.evaluate("window.fonts.now") < 2 * size


def test_valence_and_arousal_are_drawn_where_there_are_some(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    with opened(browser, page) as tab:
        shows(tab, "mic", lambda: daemon.tell(status()))
        told = [emotion(segment=400 + i, mood=(0.1 * i, 0.5)) for i in range(4)]
        shows(tab, "excited", lambda: daemon.tell(status("speech"), *told))
        assert "Valence 0.30" in tab.locator(".plane svg").get_attribute("aria-label")


def test_the_past_is_scrolled_searched_and_summed_up(browser: Any, page: PageProcess) -> None:
    with opened(browser, page, "#past", timezone_id=noon()) as tab:
        shows(tab, "Mostly")
        shows(tab, "events in view")
        shot(tab, "past")
        before = tab.inner_text(".timeline .readout")
        tab.focus(".grab")
        for key in ("+", "+", "ArrowLeft"):
            tab.keyboard.press(key)
        until(lambda: tab.inner_text(".timeline .readout") != before, "it was zoomed")
        tab.click(".filter .tag:has-text('happy')")
        found = ".found tbody tr td:nth-child(2)"
        until(lambda: set(tab.locator(found).all_inner_texts()) <= {"happy"}, "only happy ones")
        assert "label=happy" in tab.get_attribute(".found a:has-text('CSV')", "href")
        tab.click("[aria-label=Back]")  # a month of which a day is over
        tab.click("text=Month")
        until(lambda: tab.locator(".day .amount:not(:empty)").count(), "a calendar")
        shot(tab, "month")
        tab.locator(".day:not(.empty)").first.click()
        shows(tab, "The day")


def test_by_keyboard_alone(browser: Any, page: PageProcess, daemon: Daemon) -> None:
    with opened(browser, page) as tab:
        shows(tab, "mic", lambda: daemon.tell(status()))
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.className") == "skip"
        for _ in range(3):
            tab.keyboard.press("Tab")
        tab.keyboard.press("Enter")
        until(lambda: tab.evaluate("location.hash") == "#past", "the past, by Tab and Enter")
        for _ in range(3):
            tab.keyboard.press("Tab")
        tab.keyboard.press("Enter")
        theme = "document.documentElement.dataset.theme"
        assert tab.evaluate(theme) == "light"
        tab.reload()
        assert tab.evaluate(theme) == "light"


def test_what_is_drawn_is_also_said(browser: Any, page: PageProcess, daemon: Daemon) -> None:
    with opened(browser, page) as tab:
        told = emotion("happy", segment=500, kind="final")
        shows(tab, "Happy", lambda: daemon.tell(status(), told))
        assert "happy 80" in tab.get_attribute(".scores .plot", "aria-label")
        assert "inference 4.4 ms" in tab.get_attribute(".strip", "aria-label")
        said = lambda: str(tab.inner_text("[role=status]"))  # noqa: E731
        until(lambda: daemon.tell(status()) or "happy" in said(), "it is said")
        unnamed = "[...document.querySelectorAll('button, a, input, select')].filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length"  # noqa: E501
        assert tab.evaluate(unnamed) == 0
