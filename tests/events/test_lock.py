"""A lock file names who holds it, as soon as that one has said so."""

from __future__ import annotations

import os
from pathlib import Path

from edgeser.events.wire.lock import FileLock, holder_pid


def test_the_holder_is_named_while_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    assert holder_pid(path) is None
    lock = FileLock(path)
    assert holder_pid(path) == os.getpid()
    path.write_bytes(b"")  # as before a holder has written who it is
    assert holder_pid(path) is None
    lock.release()
    assert holder_pid(path) is None
