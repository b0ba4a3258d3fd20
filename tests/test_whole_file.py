"""A file that is whole at every moment."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from edgeser.whole_file import left_beside, whole_file, write_whole

NOBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_until_it_is_written_the_old_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    with whole_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("content", [None, b"old"])
def test_what_fails_leaves_nothing_behind(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with suppress(KeyboardInterrupt), whole_file(path) as file:
        file.write(b"half of")
        raise KeyboardInterrupt
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [content] * (content is not None)


def test_what_fails_names_the_file_and_not_the_one_beside_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none/file'$"):
        write_whole(tmp_path / "none" / "file", b"new")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(IsADirectoryError, match=r"/folder'$"):
        write_whole(folder, b"new")


def test_a_new_one_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", b"new")
        write_whole(tmp_path / "given", b"new", 0o644)
    finally:
        os.umask(before)
    assert (mode(tmp_path / "file"), mode(tmp_path / "given")) == (0o640, 0o644)


def test_the_mode_stays_unless_one_is_given(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old", 0o600)
    write_whole(path, b"new")
    assert mode(path) == 0o600
    write_whole(path, b"new", 0o644)
    assert mode(path) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away, which needs root")
def test_the_owner_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    os.chown(path, NOBODY, NOBODY)
    write_whole(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody else, which needs root")
def test_the_group_stays_and_who_may_not_give_a_file_away_writes_it_all_the_same(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:-1]:
        parent.chmod(parent.stat().st_mode | 0o011)
    write_whole(path, b"old", 0o660)
    os.chown(path, 0, 1234)
    if not (writer := os.fork()):
        os.setgroups([1234])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        write_whole(path, b"new")
        os._exit(0)
    assert os.waitpid(writer, 0)[1] == 0
    assert path.read_bytes() == b"new"
    assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, 1234)


def test_what_killed_processes_left_goes_in_time(tmp_path: Path) -> None:
    """Not what another one is writing, and of this file alone."""
    path, other = tmp_path / "file", tmp_path / "other"
    for each in (path, other):
        with suppress(KeyboardInterrupt), whole_file(each) as file:
            (left,) = left_beside(each)
            file.write(b"half of")
            raise KeyboardInterrupt
        left.write_bytes(b"half of")
    write_whole(path, b"new")
    assert len(left_beside(path)) == 1
    for left in tmp_path.glob(".*.new"):
        os.utime(left, (0, 0))
    write_whole(path, b"new")
    assert not left_beside(path)
    assert len(left_beside(other)) == 1


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (other := tmp_path / "other").write_bytes(b"ours")
    (path := tmp_path / "file").symlink_to(other)
    write_whole(path, b"new")
    assert other.read_bytes() == b"ours"
    assert not path.is_symlink()
