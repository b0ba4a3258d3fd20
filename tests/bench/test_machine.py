"""Other load on the machine."""

from __future__ import annotations

import os

import pytest

from edgeser.bench.machine import CpuTimes, busy_with_others, cpu_times


def test_a_busy_machine_is_said() -> None:
    before = CpuTimes(total=0, idle=0, steal=0)
    idle = CpuTimes(total=100, idle=90, steal=0)
    busy = CpuTimes(total=100, idle=10, steal=5)
    assert busy_with_others(before, idle, ours_s=9) == ""
    said = busy_with_others(before, busy, ours_s=10)
    assert "hypervisor took 5%" in said
    assert "other programs used 75%" in said
    assert busy_with_others(before, busy, 10, "the daemon's core").endswith(" of the daemon's core")


def test_the_time_of_one_core_is_read() -> None:
    cores = [cpu_times(core) for core in range(os.cpu_count() or 1)]
    assert sum(core.total for core in cores) == pytest.approx(cpu_times().total, rel=0.01)
    assert cpu_times(10_000).total >= cores[0].total  # all, where the kernel does not tell it
