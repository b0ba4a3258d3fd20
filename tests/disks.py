"""A disk that is soon full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB. Skipped where nothing may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"only root can mount a small disk: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def filled(disk: Path, but_bytes: int = 0) -> Path:
    """A file that fills the disk, except for ``but_bytes``."""
    filler = disk / "filler"
    facts = os.statvfs(disk)
    filler.write_bytes(bytes(facts.f_bavail * facts.f_frsize - but_bytes))
    return filler
