"""ONNX Runtime: the backend that runs everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeser.features.front_end import Floats
from edgeser.model.artefact import ArtefactError
from edgeser.model.backends.protocol import beside_noise
from edgeser.onnx_session import PROVIDER, open_session


class OnnxRuntime:
    """A graph on the CPU, with one thread by default, which sleeps while there is nothing to do."""

    name = "onnxruntime/CPU"
    tolerance = 0.0  # none of its own
    batch_frames = 600  # with more, activations leave the core's cache: 8 x 3 s cost a quarter more
    verify_batch = 0
    fix = "take another copy of the file, or reinstall edgeser"

    def __init__(self, onnx: bytes, path: Path, threads: int = 1) -> None:
        """Load a graph; ``path`` only names it in errors. Raises ArtefactError."""
        try:
            self._session = open_session(onnx, threads)
        except Exception as error:  # ONNX Runtime's own exceptions share no base class
            reason = " ".join(str(error).split())[:200]
            raise ArtefactError(f"model {path}: ONNX Runtime cannot load it: {reason}") from error
        if self._session.get_providers() != [PROVIDER]:
            raise ArtefactError(
                f"model {path}: ONNX Runtime chose {self._session.get_providers()}, not {PROVIDER}",
                "reinstall onnxruntime",
            )
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.inputs = [i.name for i in self._session.get_inputs()]
        self.outputs = [o.name for o in self._session.get_outputs()]

    def run(self, features: Floats, frames: npt.NDArray[np.int64]) -> Floats:
        """See ``Backend``."""
        return beside_noise("logits", self._run({"features": features, "frames": frames}))

    def step(self, features: Floats, state: Floats) -> tuple[Floats, Floats, Floats]:
        """See ``Backend``."""
        outputs = self._run({"features": features, "state": state})
        return beside_noise("votes", outputs), outputs["weights"], outputs["next_state"]

    def _run(self, inputs: dict[str, npt.NDArray[np.generic]]) -> dict[str, Floats]:
        return dict(zip(self.outputs, self._session.run(self.outputs, inputs), strict=True))
