"""The number format in which a training computes, by what the processor supports."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import torch

from edgeser.errors import UserError

Precision: TypeAlias = Literal["bf16", "fp32"]
PrecisionChoice: TypeAlias = Literal["auto", "bf16", "fp32"]

_FLAGS = frozenset(("avx512_bf16", "amx_bf16", "bf16"))
"""Linux's names for the instructions of x86 (AVX512-BF16, AMX) and of ARM. Without them bfloat16 is
emulated, and many times slower than float32."""


def precision_of(choice: PrecisionChoice) -> Precision:
    """What a choice means on this machine: "auto" is bf16 where the processor supports it."""
    if choice != "auto":
        return choice
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if computes_in_bf16(_cpuinfo()) else "fp32"


def check_precision(what: str, before: str, now: Precision) -> None:
    """Raises UserError if ``what`` was trained in another precision; ``before`` "" is unknown."""
    if before not in ("", now):
        raise UserError(
            f"{what} was trained in {before}, this machine would continue in {now}",
            "continue where it began, or choose another folder with -o",
        )


def computes_in_bf16(cpuinfo: str) -> bool:
    """Whether every core of a /proc/cpuinfo has instructions for bfloat16."""
    lines = [line.partition(":") for line in cpuinfo.splitlines()]
    flags = [set(values.split()) for name, _, values in lines if name.strip() in _NAMES]
    return bool(flags) and all(_FLAGS & core for core in flags)


_NAMES = ("flags", "Features")


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
