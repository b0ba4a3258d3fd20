"""Log lines carry their level to journald."""

from __future__ import annotations

import logging

from edgeser.daemon.logs import JournalFormatter


def line(level: int, message: str) -> str:
    return JournalFormatter().format(
        logging.LogRecord("edgeser", level, __file__, 1, message, None, None)
    )


def test_every_line_has_its_level() -> None:
    assert line(logging.INFO, "ready") == "<6>ready"
    assert line(logging.WARNING, "audio_lost: gone") == "<4>audio_lost: gone"
    assert line(logging.ERROR, "one\ntwo") == "<3>one\n<3>two"
    assert line(logging.DEBUG, "detail") == "<7>detail"
