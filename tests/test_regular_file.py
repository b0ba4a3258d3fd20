"""A pipe may never answer and a device never end: where a user names a file, they are refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeser.annotate.files import find
from edgeser.audio.file import FileSource
from edgeser.audio.network.server import tls_context as microphones_tls
from edgeser.audio.network.tokens import read_tokens
from edgeser.bridges.credentials import read_password, tls_context
from edgeser.bridges.nats.server import Server
from edgeser.bridges.position_file import PositionFile
from edgeser.errors import UserError
from edgeser.events.journal.erase import erase
from edgeser.events.journal.reader import JournalReader
from edgeser.events.journal.store import JournalStore
from edgeser.events.wire.keys import read_secret
from edgeser.page.security import read_token
from edgeser.regular_file import regular
from edgeser.settings.load import load_settings

DEVICE = Path("/dev/null")
"""Code that does not look at what it is reads it as an empty file, and waits for nothing."""


def test_a_regular_file_and_a_link_to_it_are_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to("file")
    assert regular(tmp_path / "link").read_bytes() == b"1"


def test_what_is_none_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", DEVICE):
        with pytest.raises(OSError, match=f"it is no regular file: '{path}'"):
            regular(path)
    with pytest.raises(IsADirectoryError, match=f"Is a directory: '{tmp_path}'"):
        regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        regular(tmp_path / "missing")


@pytest.mark.parametrize(
    ("ask", "text"),
    [(load_settings, b"[model]"), (read_secret, b"0" * 40), (read_token, b"a" * 32)],
    ids=["settings", "key", "token of the page"],
)
def test_a_pipe_that_the_shell_has_opened_is_read(
    ask: Callable[[Path], object], text: bytes
) -> None:
    """As ``<(command)`` gives one."""
    ours, commands = os.pipe()
    os.write(commands, text)
    os.close(commands)
    try:
        ask(Path(f"/dev/fd/{ours}"))
    finally:
        os.close(ours)


@pytest.mark.parametrize(
    "ask",
    [
        JournalReader,
        lambda file: JournalStore(file, "e"),
        lambda file: erase(file, lambda *_: True),
        load_settings,
        read_secret,
        lambda file: read_password(str(file)),
        lambda file: tls_context(str(file)),
        lambda file: Server("host", 4222, credentials=str(file)).check(),
        lambda file: PositionFile(file).load(),
        read_token,
        read_tokens,
        lambda file: microphones_tls(file, file),
        lambda file: find(str(file)),
        lambda file: next(FileSource(file).blocks()),
    ],
    ids=[
        "journal",
        "journal to write",
        "journal to erase",
        "settings",
        "key",
        "password",
        "CA",
        "credentials",
        "cursor",
        "token of the page",
        "tokens of microphones",
        "certificate",
        "list",
        "sound",
    ],
)
def test_whoever_reads_a_file_that_a_user_named_asks(
    ask: Callable[[Path], object], tmp_path: Path
) -> None:
    named = tmp_path / "named.txt"
    named.symlink_to(DEVICE)
    with pytest.raises((UserError, OSError), match="is no regular file"):
        ask(named)
