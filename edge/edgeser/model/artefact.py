"""The artefact: one ONNX file that describes and checks itself.

The graph takes ``features`` (batch, frames, width) float32, with any padding at the end, and
``frames`` (batch,) int64, the number of valid frames, and gives ``logits`` (batch, labels) float32.
A row of a batch is a piece of a window (``WindowPolicy``); a window's logits are its pieces' mean.
A model that knows noise also gives ``noise`` (batch, 1), the log odds that a row is noise.

A network of streams (``streaming``) takes ``features`` (batch, block_frames, width) and ``state``
(batch, state) instead, all float32, and gives ``votes`` (batch, steps, labels), ``weights`` (batch,
steps) and ``next_state``, and ``noise`` (batch, steps, 1) if it knows noise. A row is the next
block of a segment. The logits of any span of steps are the weighted mean of their votes. No step
depends on a frame after it, so a block that is not full may hold anything after its end, if neither
the steps there nor the state are used.

Its metadata property ``edgeser`` holds an ``ArtefactInfo`` as JSON.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from edgeser.errors import UserError
from edgeser.events.schema import UNKNOWN, ModelRef
from edgeser.features import FrontEnd, WindowPolicy
from edgeser.model.centring import Centring

__all__ = [
    "METADATA_KEY",
    "WAVEFORM_KEY",
    "Artefact",
    "ArtefactError",
    "ArtefactInfo",
    "Estimate",
    "Golden",
    "ModelInfo",
    "Noise",
    "Precision",
    "Tensor",
    "TrainingRecord",
    "WindowPolicy",
    "info_from_metadata",
    "model_path",
    "shipped_models",
]

METADATA_KEY = "edgeser"
WAVEFORM_KEY = "edgeser-waveform"
"""Metadata property of the variant that takes a waveform; the daemon does not run it."""

Positive = Annotated[float, Meta(gt=0)]
Precision: TypeAlias = Literal["fp32", "fp16", "int8"]


class ArtefactError(UserError):
    """The file is not a valid artefact, or its scores are wrong."""


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An input or output of the graph; a name in ``shape`` is a dynamic axis."""

    name: str
    shape: list[int | str]
    dtype: Literal["float32", "int64"]


class Estimate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure with its 95 % interval, as fractions of one."""

    value: float
    low: float
    high: float


class TrainingRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the model comes from and how good it was found to be.

    ``licence``: the strictest of the corpora's; ``licences`` by corpus, and ``attribution``, the
    notices that these require. Both are empty in artefacts from before these fields.
    """

    corpora: list[str]
    licence: str
    protocol: str
    wa: Estimate
    ua: Estimate
    f1: Estimate
    ece: float
    date: str
    commit: str
    licences: dict[str, str] = {}
    attribution: list[str] = []

    @property
    def is_evaluated(self) -> bool:
        """False for an export without a report, whose figures are 0 with the interval [0, 1]."""
        return self.ua != Estimate(0.0, 0.0, 1.0)


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Calibrated scores that the test sound ``golden.waveform(seed, seconds)`` must give, and its
    probability of noise if the model knows noise.
    """

    seed: Annotated[int, Meta(ge=0, le=2**62)]
    seconds: Annotated[float, Meta(gt=0, le=60)]
    scores: list[float]
    noise: float | None = None


class Noise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a model's noise output was fitted: log odds, linear in the vector behind its logits.

    ``sounds``: the noise it was fitted to; the speech is that of its training. ``found`` and
    ``mistaken``: fractions of windows with a noise probability of one half or more, of held-out
    sounds, and of the held-out corpus of speech that has the most.
    """

    sounds: str
    found: Annotated[float, Meta(ge=0, le=1)]
    mistaken: Annotated[float, Meta(ge=0, le=1)]


class ModelInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The description in every exported graph, whatever its input.

    ``centring``: how its logits are centred by voice; None for a model trained without it.
    ``noise``: None for a model that takes everything for speech.
    """

    format: Literal[1] = 1
    name: str
    version: str
    labels: Annotated[list[str], Meta(min_length=2)]
    front_end: FrontEnd
    window: WindowPolicy
    inputs: list[Tensor]
    outputs: list[Tensor]
    temperature: Positive
    abstain_below: Annotated[float, Meta(ge=0, lt=1)]
    training: TrainingRecord
    golden: Annotated[list[Golden], Meta(min_length=1)]
    centring: Centring | None = None
    noise: Noise | None = None

    def __post_init__(self) -> None:
        if len({*self.labels, UNKNOWN}) <= len(self.labels):
            raise ValueError(f"labels: expected each once, and none called '{UNKNOWN}'")
        if self.centring is not None:
            self.centring.check(len(self.labels))

    @property
    def stranger_shift(self) -> list[float]:
        """Added to the logits (labels,) of a voice never heard before; empty for no shift."""
        return [] if self.centring is None else self.centring.stranger_shift

    @property
    def learns_voices(self) -> bool:
        """Whether knowing a voice makes a difference."""
        return self.front_end.learns_voices or self.centring is not None


class StreamLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a network of streams is fed.

    ``block_frames``: frames in every block; ``step_frames``: frames in a step, for which it gives
    one vote; ``state``: size of the state passed from block to block, zeros when a segment begins.
    """

    block_frames: Annotated[int, Meta(ge=1, le=10_000)]
    step_frames: Annotated[int, Meta(ge=1, le=10_000)]
    state: Annotated[int, Meta(ge=1, le=1_000_000)]

    def __post_init__(self) -> None:
        if self.block_frames % self.step_frames:
            raise ValueError(
                f"streaming: a block of {self.block_frames} frames is no multiple of a step of "
                f"{self.step_frames}"
            )


class ArtefactInfo(ModelInfo, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that the runtime needs to know about a model.

    ``precision`` is that of the graph's weights and inner tensors; inputs and outputs never change.
    ``streaming``: None for a network of windows.
    """

    precision: Precision = "fp32"
    streaming: StreamLayout | None = None

    def __post_init__(self) -> None:
        ModelInfo.__post_init__(self)
        if self.streaming is not None and not self.front_end.streams:
            raise ValueError("a network of streams needs front_end.normalise 'onset'")
        if self.streaming is not None and self.window.cut != "whole":
            raise ValueError("a network of streams needs window.cut 'whole'")

    @property
    def evaluated_by(self) -> str:
        """The protocol behind the figures of ``training``; a rounded network's are from before."""
        rounded = self.precision != "fp32"
        return self.training.protocol + (", in full precision" if rounded else "")


@dataclass(frozen=True)
class Artefact:
    """An artefact file: what is hashed is what runs. ``size`` is in bytes."""

    path: Path
    size: int
    sha256: str
    info: ArtefactInfo

    @property
    def ref(self) -> ModelRef:
        """The model as events name it."""
        return ModelRef(self.info.name, self.info.version, self.sha256)


def info_from_metadata(metadata: dict[str, str], path: Path) -> ArtefactInfo:
    """The artefact's description from the graph's metadata. Raises ArtefactError."""
    if WAVEFORM_KEY in metadata:
        raise ArtefactError(
            f"model {path}: it takes a waveform",
            "the daemon computes features itself: export the checkpoint without --waveform",
        )
    if METADATA_KEY not in metadata:
        raise ArtefactError(
            f"model {path}: no '{METADATA_KEY}' metadata in it", "make it with 'edgeser export'"
        )
    try:
        return msgspec.json.decode(metadata[METADATA_KEY], type=ArtefactInfo)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ArtefactError(
            f"model {path}: bad metadata: {error}", "export it again with this edgeser"
        ) from error


def shipped_models() -> dict[str, Path]:
    """Name and path of every artefact that comes with edgeser."""
    folder = Path(str(resources.files("edgeser"))) / "models"
    return {path.stem: path for path in sorted(folder.glob("*.onnx"))}


def model_path(name_or_file: str | Path) -> Path:
    """The file that a name or a path means; a Path is never a name. Raises ArtefactError."""
    shipped = shipped_models()
    if isinstance(name_or_file, str) and name_or_file in shipped:
        return shipped[name_or_file]
    path = Path(name_or_file)
    try:
        if stat.S_ISREG(path.stat().st_mode):
            return path
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a null character
        pass
    except OSError as error:  # a name of 300 characters, a folder that may not be entered
        raise ArtefactError(f"model '{name_or_file}': cannot be read: {error.strerror}") from error
    raise ArtefactError(
        f"model '{name_or_file}': neither a file nor a shipped model ({', '.join(shipped)})",
        "name one that 'edgeser models' lists, or the path of a file",
    )
