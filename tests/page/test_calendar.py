"""Months, days and hours of the past in Debian's Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from .browsing import noon, opened
from .conftest import PAST
from .world import PageProcess, until

FOCUSED = "document.activeElement.closest('.day')?.innerText"


@contextmanager
def month_of(browser: Any, page: PageProcess, day: str) -> Iterator[Any]:
    with opened(browser, page, "#past", timezone_id=noon()) as tab:
        tab.fill("input[type=date]", day)
        tab.click("text=Month")
        until(lambda: tab.locator(".day").count(), "a calendar")
        yield tab


def test_tab_stops_at_one_day_and_arrow_keys_move(browser: Any, page: PageProcess) -> None:
    with month_of(browser, page, "2024-05-15") as tab:
        tab.focus(".pick select")
        tab.keyboard.press("Tab")
        assert tab.evaluate(FOCUSED) == "15"  # the day that was looked at
        for key, day in (
            *(("ArrowRight", "16"), ("ArrowDown", "23"), ("ArrowLeft", "22"), ("ArrowUp", "15")),
            *(("Home", "1"), ("ArrowUp", "1"), ("End", "31"), ("ArrowRight", "31")),
        ):
            tab.keyboard.press(key)
            assert tab.evaluate(FOCUSED) == day, key
        assert tab.locator(".day[tabindex='0']").count() == 1
        tab.keyboard.press("Tab")
        assert tab.evaluate(FOCUSED) is None
        tab.keyboard.press("Shift+Tab")
        assert tab.evaluate(FOCUSED) == "31"
        tab.keyboard.press("Enter")
        until(lambda: "31 May 2024" in tab.inner_text(".step h2"), "that day")


def test_a_day_without_data_does_not_look_like_a_silent_one(
    browser: Any, page: PageProcess
) -> None:
    silent = datetime.fromtimestamp(PAST + 5 * 86_400).strftime("%Y-%m-%d")
    with month_of(browser, page, silent) as tab:
        until(lambda: tab.locator(".day[aria-label$='no speech']").count(), "a silent day")
        assert tab.locator(".day.unknown[aria-label$='no speech']").count() == 0
    with month_of(browser, page, "2024-05-15") as tab:
        until(lambda: tab.locator(".day.unknown").count() == 31, "days of which nothing is known")


def test_today_is_marked_for_screen_readers_too(browser: Any, page: PageProcess) -> None:
    with month_of(browser, page, "2024-05-15") as tab:
        assert tab.locator("[aria-current=date]").count() == 0
        tab.click("text=Today")
        until(lambda: tab.locator("[aria-current=date]").count(), "this month")
        today = tab.evaluate("`${new Date().getDate()}`")
        assert tab.inner_text("[aria-current=date] .number") == today


def test_the_months_name_is_that_of_its_days_in_iran_too(browser: Any, page: PageProcess) -> None:
    with opened(browser, page, "#past", locale="fa-IR") as tab:
        tab.fill("input[type=date]", "2024-05-15")
        tab.locator(".toolbar button").nth(2).click()
        until(lambda: tab.inner_text(".step h2") == "مهٔ ۲۰۲۴", "the name")
        assert tab.locator(".day").count() == 31


def test_the_hour_that_comes_twice_is_two_hours(browser: Any, page: PageProcess) -> None:
    start = """async () => {
        const { hourStart } = await import('/static/archive.js');
        return ['00:30', '01:30'].map((utc) => hourStart(Date.parse(`2026-10-25T${utc}Z`) / 1000));
    }"""
    with opened(browser, page, "#past", timezone_id="Europe/Berlin") as tab:
        first, second = tab.evaluate(start)
        assert second == first + 3600
