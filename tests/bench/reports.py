"""What every benchmark report contains."""

from __future__ import annotations

from typing import Any


def named(report: dict[str, Any], benchmark: str) -> bool:
    """Whether a report says what was measured, where and how."""
    return (
        report["format"].startswith(f"edgeser-{benchmark}-")
        and {"command", "date", "machine", "warning"} <= set(report)
        and (benchmark == "model" or len(report["model"]["sha256"]) == 64)
        and (benchmark == "model" or report["speech"] == "a synthetic voice")
    )
