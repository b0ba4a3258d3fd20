from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeser.audio.timeline import Timeline

BLOCK = 320
BLOCK_S = 0.02


def run(
    timeline: Timeline, start_s: float, late_s: list[float], clock: float = 1.0
) -> list[tuple[int, float]]:
    """Place consecutive blocks captured from ``start_s`` on; each is late by so much."""
    return [
        timeline.place(BLOCK, start_s + (i + 1) * BLOCK_S * clock + late, False)
        for i, late in enumerate(late_s)
    ]


def gaps(placed: list[tuple[int, float]]) -> list[int]:
    """Samples that are missing after each block."""
    return [b - a - BLOCK for (a, _), (b, _) in itertools.pairwise(placed)]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2_000),
            st.floats(0, 1e6, allow_nan=False),
            st.booleans(),
            st.booleans(),
        ),
        min_size=1,
    )
)
def test_positions_never_go_back_whatever_the_clock_says(
    runs: list[tuple[int, float, bool, bool]],
) -> None:
    timeline = Timeline()
    end = 0
    for samples, captured_at, overflowed, interrupted in runs:
        if interrupted:
            timeline.interrupt()
        first, _ = timeline.place(samples, captured_at, overflowed)
        assert first >= end
        end = first + samples
        assert timeline.end == end


def test_late_blocks_leave_no_gap_and_get_the_time_they_should_have_come() -> None:
    burst = [0.0] * 50 + [max(0.0, 1.0 - i * BLOCK_S) for i in range(50)] + [0.0] * 400
    jitter = [late + 0.004 * (i * 7 % 5) for i, late in enumerate(burst)]
    placed = run(Timeline(), 1_000.0, jitter)
    assert [first for first, _ in placed] == [i * BLOCK for i in range(len(placed))]
    for i, (_, captured_at) in enumerate(placed):
        assert captured_at == pytest.approx(1_000.0 + (i + 1) * BLOCK_S, abs=0.021)


def test_a_slow_clock_of_the_device_leaves_no_gap() -> None:
    placed = run(Timeline(), 0.0, [0.0] * 50_000, clock=1.0005)
    assert placed[-1][0] == (len(placed) - 1) * BLOCK
    assert placed[-1][1] == pytest.approx(len(placed) * BLOCK_S * 1.0005, abs=0.01)


def test_after_a_restart_the_gap_is_what_the_clock_says() -> None:
    timeline = Timeline()
    run(timeline, 0.0, [0.0] * 100)
    timeline.interrupt()
    placed = run(timeline, 7.25, [0.0] * 100)
    assert [first for first, _ in placed] == [116_000 + i * BLOCK for i in range(100)]
    assert placed[0][1] == pytest.approx(7.27)


def test_an_overflow_skips_what_was_dropped() -> None:
    timeline = Timeline()
    run(timeline, 0.0, [0.0] * 100)
    assert timeline.place(BLOCK, 2.0 + BLOCK_S + 0.5, True)[0] == 40_000
    assert timeline.place(BLOCK, 2.0 + 2 * BLOCK_S + 0.5, False)[0] == 40_320


def test_a_loss_nobody_reports_is_found_within_seconds() -> None:
    timeline = Timeline()
    jitter = [0.02 * (i * 7 % 5) for i in range(600)]
    late = [0.0] * 200 + [0.5] * 400
    found = gaps(run(timeline, 0.0, [a + b for a, b in zip(late, jitter, strict=True)]))
    assert [gap for gap in found if gap] == [pytest.approx(8_000, abs=0.08 * 16_000)]
    assert max(found) in found[: 200 + round(6 / BLOCK_S)]


@pytest.mark.parametrize("blocks_between", [50, 125, 175, 225, 275])
def test_a_loss_soon_after_another_is_found_too(blocks_between: int) -> None:
    late = [0.0] * 200 + [0.5] * blocks_between + [1.0] * 400
    found = gaps(run(Timeline(), 0.0, late))
    assert sum(found) == 16_000


def test_losses_again_and_again_are_all_found() -> None:
    late = [1.0 * (i // 200) for i in range(12_000)]  # a second after every four
    placed = run(Timeline(), 0.0, late)
    missing = (len(late) * BLOCK_S + late[-1]) * 16_000 - (placed[-1][0] + BLOCK)
    assert missing <= 2 * 16_000  # what is left is not due yet


@pytest.mark.parametrize(("stall_s", "rate"), [(14.0, 2.0), (2.0, 1.05)])
@pytest.mark.parametrize("lost_s", [0.0, 0.5])
def test_what_a_network_held_back_is_no_loss_and_hides_none(
    stall_s: float, rate: float, lost_s: float
) -> None:
    """It comes at so many times real time until all is there."""
    held = round(stall_s / (1 - 1 / rate) / BLOCK_S)
    catching_up = [stall_s * (1 - i / held) + lost_s for i in range(held)]
    found = gaps(run(Timeline(), 0.0, [0.0] * 200 + catching_up + [lost_s] * 400))
    assert [gap for gap in found if gap] == [pytest.approx(lost_s * 16_000, abs=1)] * (lost_s > 0)
    assert not any(found[: 200 + held - round(2 / BLOCK_S)])


@pytest.mark.parametrize("rate", [1.35, 1.5])
@pytest.mark.parametrize("began_s", [0.0, 0.4, 0.8, 1.2, 1.6])
def test_a_link_that_stalls_again_before_it_has_caught_up_loses_nothing(
    rate: float, began_s: float
) -> None:
    """It stands still for 3 s in every 10."""
    late, arrives_at = [], 0.0
    for i in range(6_000):
        captured_at = (i + 1) * BLOCK_S
        arrives_at = max(captured_at, arrives_at + BLOCK_S / rate)
        arrives_at += max(0.0, 3.0 - (arrives_at + began_s) % 10)
        late.append(arrives_at - captured_at)
    assert not any(gaps(run(Timeline(), 0.0, late)))


def test_a_loss_is_found_though_the_clock_of_the_device_is_fast() -> None:
    found = gaps(run(Timeline(), 0.0, [0.0] * 1_000 + [1.0] * 400, clock=0.992))
    assert [gap for gap in found if gap] == [pytest.approx(16_000, abs=0.1 * 16_000)]
