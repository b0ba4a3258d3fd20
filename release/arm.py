"""The package for arm64 in an emulated Debian, event by event against the package for amd64.

python -m release.arm dist/edgeser_...~deb12_arm64.deb dist/edgeser_...~deb12_amd64.deb -o FOLDER

Both packages are unpacked into Debian roots of their architecture, and each runs there: every
shipped model on its golden vectors, and the daemon, with its default model, on the bundled sound.
Nothing is installed on this machine: qemu is unpacked too, and known to the emulated programs alone
(``tools/in-root``). As root, on amd64 with Linux 6.7 or newer. Speed is not looked at: qemu says
nothing about a processor.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from release.command import run
from release.source import CHECKOUT

BY_THE_CLOCK = frozenset({"epoch", "time", "latency_ms"})
"""Fields that differ in every run, even on the same machine."""

AT_ONCE = 4
"""Programs that are emulated at the same time; each has one thread."""

_INCLUDED = "python3,libportaudio2,ca-certificates,bash,coreutils,dash"
_SINGLE = 2.0**-24
"""Half a unit in the last place of a float32 of 1: the precision of a score."""


def unpack(arch: str, package: Path, root: Path) -> None:
    """A Debian of that architecture with the package: only unpacked, without running anything."""
    _extract(root, "bookworm", _INCLUDED, arch)
    subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    shutil.copy(CHECKOUT / "release/probe.py", root / "probe.py")


def unpack_emulator(folder: Path) -> Path:
    """Unpack qemu of Debian 13; that of Debian 12 hangs when ONNX Runtime is imported."""
    _extract(folder / "trixie", "trixie", "qemu-user", "amd64")
    program = folder / "qemu-aarch64"
    shutil.copy2(folder / "trixie/usr/bin/qemu-aarch64", program)
    shutil.rmtree(folder / "trixie")
    return program


def _extract(root: Path, suite: str, packages: str, arch: str) -> None:
    options = ["--quiet", "--variant=extract", f"--architectures={arch}", f"--include={packages}"]
    archive = "http://deb.debian.org/debian"
    subprocess.run(["mmdebstrap", *options, suite, str(root), archive], check=True)


def hear(root: Path, emulator: Path | None) -> dict[str, Any]:
    """The results of ``release/probe.py`` in that root."""
    variables = {**os.environ, **({"QEMU": str(emulator)} if emulator else {})}
    arguments = [str(CHECKOUT / "tools/in-root"), str(root), "/opt/edgeser/bin/python", "/probe.py"]

    def ask(*question: str) -> Any:
        began = time.monotonic()
        done = subprocess.run(
            [*arguments, *question], env=variables, check=True, stdout=subprocess.PIPE
        )
        took = f"{(time.monotonic() - began) / 60:.1f} min"
        print(f"{root.name}: {' '.join(question)}: {took}", file=sys.stderr, flush=True)
        return json.loads(done.stdout)

    found: dict[str, Any] = ask("versions")
    names: list[str] = ask("models")
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        events = pool.submit(ask, "events")
        golden = {name: pool.submit(ask, "golden", name) for name in names}
        found["golden"] = {name: asked.result() for name, asked in golden.items()}
        found["events"] = events.result()
    return found


def differences(ours: object, theirs: object, path: str = "") -> list[tuple[str, object, object]]:
    """Every value that differs, with its path, except fields that depend on the clock."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = sorted((ours.keys() | theirs.keys()) - BY_THE_CLOCK)
        return [
            found
            for key in keys
            for found in differences(ours.get(key), theirs.get(key), f"{path}.{key}".lstrip("."))
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [
            found
            for index, pair in enumerate(zip(ours, theirs, strict=True))
            for found in differences(*pair, f"{path}[{index}]")
        ]
    if isinstance(ours, list) and isinstance(theirs, list):
        return [(f"how many {path}", len(ours), len(theirs))]
    return [] if ours == theirs else [(path, ours, theirs)]


def in_order(events: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Events by stream and type, each in order; between topics the order is undefined."""
    topics: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        topics.setdefault(f"{event['type']}.{event['stream']}", []).append(event)
    return topics


def report(arm: dict[str, Any], pc: dict[str, Any]) -> tuple[str, bool]:
    """The report as Markdown, and whether all events are the same up to the last decimal."""
    golden = [_golden_row(name, arm["golden"][name], pc["golden"][name]) for name in pc["golden"]]
    ours, theirs = in_order(arm["events"]), in_order(pc["events"])
    rows, found = [], []
    for topic in sorted(ours.keys() | theirs.keys()):
        pairs = (ours.get(topic, []), theirs.get(topic, []))
        counts = tuple(map(len, pairs))
        differ = differences(*pairs, topic)
        found += differ
        events = {path.partition("]")[0] for path, _, _ in differ}
        same = min(counts) - len(events) if counts[0] == counts[1] else 0
        rows.append(f"| `{topic}` | {counts[0]} | {counts[1]} | {same} |")
    versions = [
        f"| {name} | {arm[name]} | {pc[name]} |"
        for name in ("machine", "libc", "python", "numpy", "onnxruntime", "edgeser")
    ]
    lines = [
        "# arm64 against amd64",
        "",
        "Made by `sudo make arm-check`: the Debian package of each architecture, unpacked into a "
        "Debian 12 of its own, arm64 emulated by qemu. No ARM processor was there, and no speed is "
        "claimed.",
        "",
        "| | arm64 | amd64 |",
        "|---|---|---|",
        *versions,
        f"| run by | qemu-user of Debian 13 | {_processor()} |",
        "",
        "## Events of the daemon on the bundled sound",
        "",
        "Every field but `epoch`, `time` and `latency_ms`. `status` and `level` come by the clock.",
        "",
        "| topic | arm64 | amd64 | the same |",
        "|---|---|---|---|",
        *rows,
        "",
        *_differing(found),
        "## Scores of the shipped models on their golden vectors",
        "",
        "Before they are rounded. A model that is further from its golden vectors than its "
        "tolerance is refused by the daemon; none was.",
        "",
        "| model | scores | to the bit | largest difference |",
        "|---|---|---|---|",
        *golden,
        "",
    ]
    return "\n".join(lines), all(map(_is_rounding, found))


def _golden_row(name: str, ours: list[list[str]], theirs: list[list[str]]) -> str:
    pairs = [
        (float.fromhex(a), float.fromhex(b))
        for row_a, row_b in zip(ours, theirs, strict=True)
        for a, b in zip(row_a, row_b, strict=True)
    ]
    worst = max(abs(a - b) for a, b in pairs)
    units = f" ({math.ceil(worst / _SINGLE)} × 2⁻²⁴)" if worst else ""
    return f"| `{name}` | {len(pairs)} | {sum(a == b for a, b in pairs)} | {worst:.1e}{units} |"


def _is_rounding(difference: tuple[str, object, object]) -> bool:
    """Whether two numbers differ by no more than one in the last decimal that is published."""
    _, a, b = difference
    return isinstance(a, float) and isinstance(b, float) and abs(a - b) < 1.5e-6


def _differing(found: list[tuple[str, object, object]]) -> list[str]:
    if not found:
        return []
    rows = [f"| `{path}` | {a} | {b} |" for path, a, b in found]
    return ["What differs:", "", "| field | arm64 | amd64 |", "|---|---|---|", *rows, ""]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")


def main() -> int:
    """Write the report. Exit code 1 if an event differs by more than one in its last decimal."""
    parser = argparse.ArgumentParser(prog="python -m release.arm", description=__doc__)
    parser.add_argument("arm64", type=Path)
    parser.add_argument("amd64", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=CHECKOUT / "docs/reports/arm64")
    asked = parser.parse_args()
    if os.geteuid() != 0 or platform.machine() != "x86_64":
        print("edgeser: needs root on an x86-64 machine: sudo make arm-check", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="edgeser-arm-") as name:
        folder = Path(name)
        emulator = unpack_emulator(folder)
        unpack("amd64", asked.amd64, folder / "amd64")
        unpack("arm64", asked.arm64, folder / "arm64")
        pc, arm = hear(folder / "amd64", None), hear(folder / "arm64", emulator)
    text, same = report(arm, pc)
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "report.md").write_text(text)
    for machine, heard in (("amd64", pc), ("arm64", arm)):
        (asked.output / f"{machine}.json").write_text(json.dumps(heard, indent=1) + "\n")
    print(text)
    return 0 if same else 1


if __name__ == "__main__":
    run(main)
