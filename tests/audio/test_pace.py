"""How fast sound comes: wrong rates are reported, irregularities of a network are not."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeser.audio.pace import SURE_S, TOLERANCE, Pace, WrongPace
from edgeser.pcm import SAMPLE_RATE

HOUR_S = 3600.0
WRONG = [8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000]


def told(arrivals: Iterable[tuple[float, float]], pace: Pace | None = None) -> list[WrongPace]:
    """What is told of sound, in seconds, that came at these times."""
    pace = pace or Pace()
    found = [pace.heard(round(sound_s * SAMPLE_RATE), at) for sound_s, at in arrivals]
    return [wrong for wrong in found if wrong]


def steady(rate: float, until_s: float, chunk_s: float = 0.5) -> list[tuple[float, float]]:
    """Chunks of so many seconds of sound, from a microphone that records ``rate`` times as fast."""
    return [(chunk_s, i * chunk_s / rate) for i in range(round(until_s / chunk_s * rate))]


@given(st.sampled_from(WRONG), st.floats(-0.01, 0.01), st.floats(0.2, 0.7))
def test_another_rate_is_told_once_and_how_fast_sound_came(
    rate: int, drift: float, chunk_s: float
) -> None:
    times = rate / SAMPLE_RATE * (1 + drift)
    (wrong,) = told(steady(times, 600.0, chunk_s))
    assert wrong.sound_s / wrong.passed_s == pytest.approx(times, rel=0.05)
    assert wrong.passed_s <= (SURE_S + 1) / (abs(times - 1) - TOLERANCE) + 1


@given(
    st.floats(1 - 0.04, 1 + 0.04),
    st.lists(st.tuples(st.floats(0, 120), st.floats(0, 50), st.floats(1.1, 20)), max_size=10),
)
def test_delayed_sound_is_not_reported(
    rate: float, stalls: list[tuple[float, float, float]]
) -> None:
    """Each stall: seconds until it, its length, and how fast the delayed sound then comes."""
    arrivals, at = [], 0.0
    for before_s, length_s, catch_up in stalls:
        for _ in range(round(before_s)):
            at += 1 / rate
            arrivals.append((1.0, at))
        at += length_s
        held_s = length_s * rate
        while held_s > 0.1:  # and more is recorded meanwhile
            at, held_s = at + 1 / catch_up / rate, held_s - 1 + 1 / catch_up
            arrivals.append((1.0, at))
    assert told(arrivals) == []


@given(st.lists(st.tuples(st.floats(0, 55), st.floats(0, 600), st.floats(1.6, 600)), max_size=10))
def test_a_device_that_comes_and_goes_is_not_reported(
    visits: list[tuple[float, float, float]],
) -> None:
    """Each: sound that was kept and comes at once, seconds of sound after it, seconds of pause."""
    arrivals, at = [], 0.0
    for kept_s, sound_s, pause_s in visits:
        arrivals.append((min(kept_s, pause_s), at))
        for _ in range(round(sound_s)):
            at += 1
            arrivals.append((1.0, at))
        at += pause_s
    assert told(arrivals) == []


def test_a_device_that_sends_only_what_it_takes_for_speech_is_not_told_of() -> None:
    arrivals = [(0.1, 5.0 * i + 0.1 * k) for i in range(700) for k in range(20)]
    assert told(arrivals) == []


def test_a_wrong_rate_is_reported_again_after_a_right_one() -> None:
    pace = Pace()
    slow = steady(0.5, 600)
    assert len(told(slow, pace)) == 1
    well = [(0.5, 600 + at) for _, at in steady(1.0, HOUR_S)]
    assert told(well, pace) == []
    assert len(told([(0.5, 600 + HOUR_S + at) for _, at in slow], pace)) == 1


@pytest.mark.parametrize("rate", [0.5, 3.0])
def test_a_fault_says_when_a_wrong_rate_begins_and_when_it_is_over(rate: float) -> None:
    pace = Pace()
    arrivals = steady(rate, 600) + [(0.5, 600 + at) for _, at in steady(1.0, HOUR_S)]
    faults = [
        (pace.is_wrong, fault.recovered, fault.message)
        for sound_s, at in arrivals
        if (fault := pace.fault(round(sound_s * SAMPLE_RATE), at, "mic", "why?"))
    ]
    (wrong, _, began), (right, _, over) = faults
    assert [recovered for _, recovered, _ in faults] == [False, True]
    assert (wrong, right) == (True, False)
    assert began.startswith("mic: ")
    assert began.endswith(" s; why?")
    assert over == "mic: sound comes as fast as time passes again"


@given(st.lists(st.tuples(st.integers(0, 10**7), st.floats(0, 1e6)), max_size=50))
def test_no_clock_is_too_odd_for_it(arrivals: list[tuple[int, float]]) -> None:
    pace = Pace()
    for samples, now in arrivals:
        if (wrong := pace.heard(samples, now)) is not None:
            assert " s of sound came in " in str(wrong)
