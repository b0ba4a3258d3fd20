"""A service in a box, with sound for the bridges' events."""

from __future__ import annotations

import numpy as np
import soundfile

from edgeser.model.golden import waveform
from tests.sounds import silence
from tests.system.box import SHARED, Box

SETTINGS = "/etc/edgeser/edgeser.toml"


def hears_remarks(box: Box, tables: str) -> None:
    """Let the daemon hear one remark after another; ``tables``: the rest of its settings."""
    remark = np.concatenate((waveform(1, 0.7), silence(0.8)))
    soundfile.write(box.shared / "remarks.flac", np.tile(remark, 200), 16_000)
    audio = f'[audio]\nsource = "{SHARED}/remarks.flac"\nstream = "hall"\n'
    box.path(SETTINGS).write_text(audio + tables)
