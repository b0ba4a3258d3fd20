"""The view of health in Debian's Chromium."""

from __future__ import annotations

import re
from typing import Any

from .browsing import opened, shot, shows
from .world import Daemon, PageProcess, shipped, status


def test_health_tells_what_runs(browser: Any, page: PageProcess, daemon: Daemon) -> None:
    with opened(browser, page, "#health") as tab:
        shows(tab, "Dropped windows", lambda: daemon.tell(status(dropped=3)))
        shows(tab, "Unweighted accuracy", lambda: daemon.tell(status(dropped=3)))
        for words in ("Last sound", "Journal", "lightweight-emodb", "Version", "onnxruntime/CPU"):
            assert words in tab.inner_text("main")
        assert "Recall of a known voice" not in tab.inner_text("main")  # it learns none
        shot(tab, "health")


def test_health_says_how_a_model_does_with_unknown_voices(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    told = status(model=shipped("streaming6"))
    with opened(browser, page, "#health") as tab:
        shows(tab, "45.0 %", lambda: daemon.tell(told))
        said = tab.inner_text("main")
        assert "not evaluated" not in said
        assert "Unweighted accuracy" not in said
        assert re.search(r"Recall of an unknown voice\s+45.0 % \(42.1\sto\s47.7\)", said)
        assert re.search(r"Recall of a known voice\s+51.6 %", said)
        assert re.search(r"Label is unknown below\s+never", said)
