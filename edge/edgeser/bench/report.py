"""The common part of all benchmarks' reports."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from edgeser.bench import SPEECH_FILE
from edgeser.bench.machine import Machine
from edgeser.paths import as_utf8


class Report(msgspec.Struct, frozen=True, kw_only=True, tag_field="format"):
    """What one must know of a run to compare its figures; ``format`` names the benchmark.

    ``command``: as it was typed. ``date``: local time. ``warning``: what else the machine did
    meanwhile; empty if that was little.
    """

    command: str
    date: str
    machine: Machine
    warning: str


def now() -> str:
    """The ``date`` of a report."""
    return time.strftime("%Y-%m-%d %H:%M")


def speech_name(file: Path) -> str:
    """What a report calls the speech that was played."""
    return "a synthetic voice" if file == SPEECH_FILE else as_utf8(str(file))
