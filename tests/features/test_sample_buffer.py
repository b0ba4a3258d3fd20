"""A buffer holds what was added and not let go of, and takes back nothing that it gave out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeser.features.sample_buffer import SampleBuffer

steps = st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 25_000)), max_size=30)


@given(steps)
def test_it_holds_what_a_plain_array_would(steps: list[tuple[int, int]]) -> None:
    buffer, expected = SampleBuffer(), np.zeros(0, np.int16)
    given_out = []
    for number, (added, forgotten) in enumerate(steps):
        samples = (np.arange(added) * 7 + number).astype(np.int16)
        buffer.append(samples)
        expected = np.concatenate((expected, samples))
        buffer.forget(forgotten)
        expected = expected[forgotten:]
        first, last = forgotten // 3, forgotten
        for span in ((0, len(expected)), (first, last), (-5, last)):
            found = buffer.between(*span)
            assert np.array_equal(found, expected[max(0, span[0]) : span[1]])
            given_out.append((found, found.copy()))
        assert len(buffer) == len(expected)
    for view, copy in given_out:
        assert np.array_equal(view, copy)


def test_a_cleared_buffer_is_empty_and_goes_on() -> None:
    buffer = SampleBuffer()
    buffer.append(np.ones(5, np.int16))
    before = buffer.between(0, 5)
    buffer.clear()
    assert len(buffer) == 0
    buffer.append(np.full(3, 2, np.int16))
    assert buffer.between(0, 9).tolist() == [2, 2, 2]
    assert before.tolist() == [1] * 5


def test_room_for_a_long_segment_is_given_back_after_it() -> None:
    buffer = SampleBuffer()
    buffer.append(np.zeros(200_000, np.int16))
    for _ in range(400):
        buffer.append(np.zeros(1_600, np.int16))
        buffer.forget(max(0, len(buffer) - 3_200))
    assert buffer.between(0, 1).base.nbytes < 50_000
