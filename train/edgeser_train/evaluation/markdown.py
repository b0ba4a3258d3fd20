"""Small pieces of markdown that reports are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgeser.model.artefact import Estimate


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    return [
        f"| {' | '.join(header)} |",
        "|" + "---|" * len(header),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def percent(share: float) -> str:
    """In percent, to a tenth."""
    return f"{100 * share:.1f}"


def between(estimate: Estimate) -> str:
    """The interval of an estimate in percent."""
    return f"{percent(estimate.low)} to {percent(estimate.high)}"
