"""The results of a run are kept, whatever happens to standard output and to the disk."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from edgeser.cli.bench.outcome import conclude
from tests.disks import filled, small_disk  # noqa: F401
from tests.system.daemons import EDGESER


def ended(reports: dict[Path, bytes], *broken: str) -> object:
    """The exit code with which a benchmark ends."""
    with pytest.raises(SystemExit) as end:
        conclude({file: lambda text=text: text for file, text in reports.items()}, broken=broken)
    return end.value.code


@pytest.mark.parametrize(("output", "code"), [("| true", 1), ("> /dev/full", 2)])
def test_reports_are_saved_where_nobody_reads(output: str, code: int, tmp_path: Path) -> None:
    command = (
        '"$@" bench latency --seconds 3 --json new.json --html new.html --fail-if "p99_ms>0"'
        f" {output}; exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(
        ["bash", "-c", command, "bash", *EDGESER], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    assert "edgeser: p99_ms>0: p99_ms is " in done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new.html", "new.json"]


def test_a_run_goes_on_without_a_reader_for_its_report(tmp_path: Path) -> None:
    command = '"$@" bench model --model voices6 --window 1 --seconds 0.1 --json new.json | true'
    done = subprocess.run(["bash", "-c", command, "bash", *EDGESER], cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "new.json").exists()


def test_a_report_replaces_the_old_one_whole_or_not_at_all(
    small_disk: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, link = small_disk / "x.json", small_disk / "link.json"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    assert ended({link: b"new"}) == 0
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o640)
    assert link.is_symlink()
    filled(small_disk, but_bytes=100_000)
    other = small_disk.parent / "page.html"
    assert ended({file: bytes(200_000), other: b"page"}) == 1
    assert f"{file}: cannot be written: No space left on device" in capsys.readouterr().err
    assert file.read_text() == "new"
    assert other.read_text() == "page"
    assert sorted(small_disk.iterdir()) == [small_disk / "filler", link, file]


def test_a_report_is_written_into_a_pipe() -> None:
    ours, theirs = os.pipe()
    assert ended({Path(f"/dev/fd/{theirs}"): b"{}"}, "gaps>0: gaps is 2") == 1
    assert os.read(ours, 10) == b"{}"
    os.close(ours)
    os.close(theirs)
