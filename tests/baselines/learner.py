"""A small model that learns voices."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeser.features import FrontEnd, WindowPolicy
from edgeser.features.frames import raw_frames
from edgeser.pcm import Samples
from tests.model.artefacts import SmallNetwork, write_artefact

FRONT_END = FrontEnd(mels=40, normalise="voice")


def learner(folder: Path) -> Path:
    """Write its artefact into that folder."""
    path = folder / "learner.onnx"
    network = SmallNetwork(FRONT_END.width)

    def expected(sound: Samples) -> np.ndarray:
        return network.scores([FRONT_END.normalised(raw_frames(sound, FRONT_END))])

    write_artefact(path, FRONT_END, WindowPolicy(), expected)
    return path
