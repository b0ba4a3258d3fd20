"""A model ready to use: an artefact, the backend that runs it, and the check of its scores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import get_args

import numpy as np

from edgeser.errors import UserError
from edgeser.features.baseline import Baseline
from edgeser.features.frames import raw_frames
from edgeser.features.front_end import Floats
from edgeser.features.pieces import Pieces, pieces_of
from edgeser.model.artefact import (
    Artefact,
    ArtefactError,
    ArtefactInfo,
    Golden,
    info_from_metadata,
    model_path,
)
from edgeser.model.backends.onnxruntime import OnnxRuntime
from edgeser.model.backends.protocol import Backend
from edgeser.model.decision import calibrated, probability
from edgeser.model.golden import waveform
from edgeser.model.network import Answer, Network, Segment, Speech
from edgeser.model.streams import StreamNetwork
from edgeser.model.windows import WindowNetwork
from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser.settings.schema import DEFAULT_MODEL, BackendName

TOLERANCE = {"fp32": 1e-3, "fp16": 1e-3, "int8": 1e-2}
"""Largest difference of a score from its golden value on any processor, by precision. Measured
between machines for fp32: below 1e-5. Integers round differently on processors with other
instructions; how much was not measured."""


class Model:
    """Windows of features in, calibrated scores out. It does not change once it is made.

    ``reason``: why the backend tried first does not run it; empty if none was. ``fell_back``: that
    one was asked for by name. ``labels``: those that it distinguishes, in the order of its scores.
    """

    def __init__(
        self,
        artefact: Artefact,
        backend: Backend,
        labels: Sequence[str] = (),
        *,
        reason: str = "",
        fell_back: bool = False,
    ) -> None:
        """``labels``: distinguish only these of the artefact's, whose scores then sum to 1; empty
        means all. Raises UserError for an unknown label, or a single one.
        """
        self.artefact = artefact
        self.backend = backend
        self.reason = reason
        self.fell_back = fell_back
        self.info = artefact.info
        self.ref = artefact.ref
        self._columns = _columns(artefact.info, labels)
        self.labels = [self.info.labels[k] for k in self._columns or range(len(self.info.labels))]
        self._network = _network_of(artefact.info, backend)

    def pieces(self, samples: Samples, baseline: Baseline | None = None) -> Pieces:
        """A sound as one window: int16 (n,), at least a hop -> the features of its pieces."""
        front_end = self.info.front_end
        return pieces_of(raw_frames(samples, front_end), front_end, self.info.window, baseline)

    def segment(self, start: int, baseline: Baseline) -> Segment:
        """A segment of speech that begins at the sample ``start``."""
        return self._network.segment(start, baseline)

    def scores(self, windows: Sequence[Speech]) -> Floats:
        """Scores of windows without centring by voice: (windows, labels)."""
        return self.scores_of(self.logits(windows))

    def scores_of(self, logits: Floats) -> Floats:
        """Calibrated scores (..., labels), which sum to 1, from logits (..., all labels)."""
        if self._columns is not None:
            logits = logits[..., self._columns]
        return calibrated(logits, self.info.temperature)

    def logits(self, windows: Sequence[Speech]) -> Floats:
        """Logits of windows that came from a ``segment`` or ``pieces``: (windows, all labels).

        A network of windows may round differently for a window in a batch and for one run alone.
        """
        return self._network.logits(windows)[:, : len(self.info.labels)]

    def answers(self, windows: Sequence[Speech]) -> list[Answer]:
        """Logits of windows, and the probability that each is noise."""
        rows = self._network.logits(windows)
        if self.info.noise is None:
            return [Answer(row, None) for row in rows]
        return [Answer(row[:-1], probability(float(row[-1]))) for row in rows]

    def rows(self, window: Speech) -> int:
        """How many rows of a batch a window takes."""
        return self._network.rows(window)

    def row_frames(self, window: Speech) -> int:
        """Frames of such a row, padding included; windows with equal rows can share a batch."""
        return self._network.row_frames(window)

    def verify(self) -> float:
        """Run the golden vectors; return the largest difference. Raises ArtefactError if it drifts.

        If the backend runs batches by another path than single windows, the golden sounds and a
        partial are run both ways, and must give the same scores. Also warms the backend up.
        """
        limit = max(self.backend.tolerance, TOLERANCE[self.info.precision])
        sounds = [waveform(golden.seed, golden.seconds) for golden in self.info.golden]
        if self.backend.verify_batch:
            sounds.append(max(sounds, key=len)[: round(self.info.window.seconds * SAMPLE_RATE)])
        windows = [self.pieces(sound) for sound in sounds]
        alone = [self._network.logits([window])[0] for window in windows]
        worst = 0.0
        for golden, logits in zip(self.info.golden, alone, strict=False):
            worst = max(worst, self._drift(golden, logits, limit))
        if self.backend.verify_batch:
            self._agree(windows, alone, limit)
        return worst

    def _drift(self, golden: Golden, logits: Floats, limit: float) -> float:
        """The largest difference to a golden vector. Raises ArtefactError if it drifts."""
        labels, noise = self.info.labels, self.info.noise
        if (len(golden.scores), golden.noise is None) != (len(labels), noise is None):
            raise ArtefactError(
                f"model {self.artefact.path}: its golden vectors are not of its "
                f"{len(labels)} labels and {'no ' if noise is None else ''}noise",
                "export it again",
            )
        if len(logits) != len(labels) + (noise is not None):
            raise ArtefactError(
                f"model {self.artefact.path}: its graph gives {len(logits)} logits, its metadata "
                f"has {len(labels)} labels and {'no ' if noise is None else ''}noise",
                "export it again",
            )
        known = golden.scores if golden.noise is None else [*golden.scores, golden.noise]
        worst = 0.0
        for name, score, expected in zip(
            [*labels, "noise"], self._probabilities(logits), known, strict=False
        ):
            difference = abs(score - expected)
            if not difference <= limit:
                raise ArtefactError(
                    f"model {self.artefact.path}: deviates from its golden vectors: '{name}' "
                    f"of test sound {golden.seed} is {score:.4f}, expected {expected:.4f}",
                    self.backend.fix,
                )
            worst = max(worst, difference)
        return worst

    def _agree(self, windows: Sequence[Speech], alone: Sequence[Floats], limit: float) -> None:
        """Raises ArtefactError if windows run as one batch differ from windows run alone."""
        count = max(self.backend.verify_batch, len(windows))
        rows = self._network.logits([*islice(cycle(windows), count)])
        for row, logits in zip(rows, cycle(alone), strict=False):
            difference = np.abs(
                np.subtract(self._probabilities(row), self._probabilities(logits))
            ).max()
            if not difference <= limit:
                raise ArtefactError(
                    f"model {self.artefact.path}: on {self.backend.name} a test sound scores "
                    f"differently alone and in a batch of {count}, by {difference:.4f}",
                    self.backend.fix,
                )

    def _probabilities(self, logits: Floats) -> list[float]:
        """Scores of all labels, and of noise if the graph has it, from logits (all of them,)."""
        labels = len(self.info.labels)
        scores = calibrated(logits[:labels], self.info.temperature)
        return [*map(float, scores), *(probability(float(odds)) for odds in logits[labels:])]


def load_model(
    name_or_file: str | Path = DEFAULT_MODEL,
    backend: BackendName = "auto",
    *,
    threads: int = 1,
    fall_back: bool = False,
    labels: Sequence[str] = (),
) -> Model:
    """Load a shipped model by name, or any artefact by path, and verify it.

    ``backend``: ``auto`` takes a TensorRT engine built for this model and GPU if there is one and
    it passes the golden vectors, and ONNX Runtime otherwise. ``threads``: of ONNX Runtime; one is
    enough for a microphone. ``fall_back``: use ONNX Runtime when ``tensorrt`` cannot run, and set
    the model's ``fell_back``. ``labels``: distinguish only these, by default all.

    Raises UserError: not found, no ONNX, no metadata, wrong scores for its golden vectors, or a
    backend that was asked for and cannot run.
    """
    if backend not in get_args(BackendName):
        raise ArtefactError(
            f"backend '{backend}': choose one of {', '.join(get_args(BackendName))}"
        )
    path = model_path(name_or_file)
    try:
        onnx = path.read_bytes()
    except OSError as error:
        raise ArtefactError(f"model {path}: cannot be read: {error.strerror}") from error
    if onnx.startswith(b"PK"):  # a zip archive, which torch.save writes
        raise ArtefactError(
            f"model {path}: a checkpoint, not an exported model",
            "'edgeser export' makes a model from it",
        )
    sha256 = hashlib.sha256(onnx).hexdigest()
    reason = ""
    if backend != "onnxruntime":
        from edgeser.model.backends.tensorrt.open import open_engine

        try:
            return verified(open_engine(onnx, path, sha256), path, len(onnx), sha256, labels)
        except UserError as error:
            if backend == "tensorrt" and not fall_back:
                raise
            reason = str(error)
    return verified(
        OnnxRuntime(onnx, path, threads),
        path,
        len(onnx),
        sha256,
        labels,
        reason=reason,
        fell_back=backend == "tensorrt",
    )


def _columns(info: ArtefactInfo, labels: Sequence[str]) -> list[int] | None:
    """Which of the logits belong to these labels; None for all. Raises UserError."""
    strange = [label for label in labels if label not in info.labels]
    if strange:
        raise UserError(
            f"model.labels: {info.name} does not know '{strange[0]}'",
            f"choose from {', '.join(info.labels)}",
        )
    if len(set(labels)) == 1:
        raise UserError(f"model.labels: '{labels[0]}' alone is not enough", "name two or more")
    return [k for k, label in enumerate(info.labels) if label in labels] or None


def _network_of(info: ArtefactInfo, backend: Backend) -> Network:
    if info.streaming is None:
        return WindowNetwork(info, backend)
    return StreamNetwork(info, info.streaming, backend)


def verified(
    engine: Backend,
    path: Path,
    size: int,
    sha256: str,
    labels: Sequence[str] = (),
    *,
    reason: str = "",
    fell_back: bool = False,
) -> Model:
    """The model that a backend runs, its golden vectors checked. Raises UserError.

    ``labels``, ``reason``, ``fell_back``: see ``Model``.
    """
    info = info_from_metadata(engine.metadata, path)
    for described, found in ((info.inputs, engine.inputs), (info.outputs, engine.outputs)):
        names = [tensor.name for tensor in described]
        if names != found:
            raise ArtefactError(
                f"model {path}: its metadata names {names}, its graph has {found}",
                "export it again",
            )
    artefact = Artefact(path, size, sha256, info)
    model = Model(artefact, engine, labels, reason=reason, fell_back=fell_back)
    try:
        model.verify()
    except UserError:
        raise
    except Exception as error:  # the exceptions of the backends share no base class
        reason = " ".join(str(error).split())[:200]
        raise ArtefactError(
            f"model {path}: its graph does not run as its metadata says: {reason}",
            "export it again",
        ) from error
    return model
