"""What was deleted is off the disk, or it is said that it is not."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from edgeser.errors import UserError
from edgeser.events.journal import erase as module
from edgeser.events.journal.erase import erase
from edgeser.events.journal.store import JournalStore
from tests.events.journals import entry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "journal.db"
    store = JournalStore(file, "a")
    store.append([entry(seq) for seq in range(1, 51)])
    store.close()
    return file


def reading(file: Path) -> sqlite3.Connection:
    """Somebody in the middle of reading."""
    reader = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT payload FROM events").fetchone()
    return reader


def stored(file: Path) -> bytes:
    return b"".join(path.read_bytes() for path in file.parent.glob("journal.db*"))


def test_bytes_that_a_reader_keeps_on_the_disk_are_told_and_go_by_another_try(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_WITHIN_S", 0.3)
    with closing(reading(file)):
        for deleted in (50, 0):
            with pytest.raises(UserError, match=f"{deleted} events deleted, but") as error:
                erase(file, lambda topic, payload: True)
            assert error.value.fix == "close it and run this again"
        assert b"xxx" in stored(file)
    assert erase(file, lambda topic, payload: True) == 0
    assert b"xxx" not in stored(file)


def test_a_reader_that_has_soon_finished_is_waited_for(file: Path) -> None:
    with closing(reading(file)) as reader:
        done = threading.Timer(1.5, lambda: reader.execute("COMMIT"))
        done.start()
        assert erase(file, lambda topic, payload: True) == 50
        assert b"xxx" not in stored(file)
        done.join()


def test_the_file_shrinks(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    store = JournalStore(file, "a")
    store.append([entry(seq, size=10_000) for seq in range(1, 301)])
    store.close()
    assert file.stat().st_size > 3_000_000
    assert erase(file, lambda topic, payload: True) == 300
    assert file.stat().st_size < 100_000
