"""Ways to cut a sound into blocks, for property tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st


def cuts(length: int) -> st.SearchStrategy[list[int]]:
    """Sorted positions at which a sound of ``length`` samples is cut."""
    return st.lists(st.integers(1, length - 1), unique=True, max_size=12).map(sorted)


def blocks_of(samples: np.ndarray, where: list[int]) -> list[np.ndarray]:
    """The pieces between the cuts."""
    return np.split(samples, where)
