"""What the variant that takes a waveform says of itself, and whether it is true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from edgeser.errors import UserError
from edgeser.features import FrontEnd, WindowPolicy
from edgeser.features.front_end import Floats
from edgeser.features.pieces import Lengths
from edgeser.model.artefact import Golden, ModelInfo
from edgeser.model.golden import waveform
from edgeser.pcm import Samples
from edgeser_export.golden import GOLDEN, scored, sound_logits
from edgeser_export.verify import (
    RELATIVE_ABOVE,
    TOLERANCES,
    Difference,
    accept,
    difference,
    session_of,
    torch_logits,
)
from edgeser_export.waveform import WaveformModel
from edgeser_train.models.speech_model import SpeechModel

_FULL_SCALE = np.float32(1 / 32768)
_SCORE_TOLERANCE = 1e-3


class WaveformInfo(ModelInfo, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The contract of the graph: one piece of sound per row.

    ``waveform`` (batch, samples): mono, ``sample_rate``, in [-1, 1], then anything up to
    a multiple of ``hop * window.pad_frames`` samples; ``frames`` (batch,): hops of ``hop`` samples
    that count, at most ``window.frames`` where that is not 0. A longer sound is cut as ``window``
    says, and its pieces' logits are averaged. What is in front of a piece counts as silence, and
    with ``window.fill`` the graph fills a piece up itself. Golden scores are those of the test
    sounds, cut to ``seconds``.
    """

    sample_rate: int
    hop: int


def waveform_golden(
    model: SpeechModel, front_end: FrontEnd, window: WindowPolicy, temperature: float
) -> list[Golden]:
    """Calibrated scores of the beginnings of the test sounds, by the front end and PyTorch."""
    return [
        scored(seed, seconds, _expected(model, sound, front_end, window), temperature)
        for seed, seconds, sound in _beginnings(front_end, window)
    ]


def verify_waveform(
    content: bytes,
    network: WaveformModel,
    front_end: FrontEnd,
    window: WindowPolicy,
    more: Sequence[Samples] = (),
) -> Difference:
    """The largest difference of a logit from PyTorch's, on test sounds alone and in one batch.

    ``more``: other sounds, each compared alone in its first piece.

    Raises UserError when that is above 1e-4, and when a score is more than 1e-3 from what the
    model makes of the features that the daemon computes.
    """
    session = session_of(content)
    worst = Difference()
    longest, shortest = (
        window.frames * front_end.hop or None,
        network.model.min_frames * front_end.hop,
    )
    sounds = [sound for _, _, sound in _beginnings(front_end, window)]
    alone = [*sounds, *(sound[:longest] for sound in more if len(sound) >= shortest)]
    for batch in [*([sound] for sound in alone), sounds]:
        waveforms, frames = _batch(batch, front_end.hop, window.pad_frames)
        with torch.inference_mode():
            _, logits = network(torch.from_numpy(waveforms), torch.from_numpy(frames))
        for row, count in zip(waveforms, frames, strict=True):
            row[count * front_end.hop :] = 0.7
        scores, found = _run(session, waveforms, frames)
        where = f"batch {len(batch)}, {waveforms.shape[1]} samples"
        apart = difference(found, logits.numpy(), where, RELATIVE_ABOVE["fp32"])
        accept(apart, TOLERANCES["fp32"])
        worst = max(worst, apart, key=lambda d: d.value)
        _compare_scores(scores, batch, network, front_end, window)
    return worst


def _compare_scores(
    scores: Floats,
    sounds: list[Samples],
    network: WaveformModel,
    front_end: FrontEnd,
    window: WindowPolicy,
) -> None:
    for row, sound in zip(scores, sounds, strict=True):
        logits = _expected(network.model, sound, front_end, window)
        expected = scored(0, 0.0, logits, network.temperature).scores
        apart = float(np.abs(row - np.array(expected)).max())
        if not apart <= _SCORE_TOLERANCE:
            raise UserError(
                f"export: from the waveform a score differs by {apart:.1e} from that of the "
                f"front end's features (at most {_SCORE_TOLERANCE:.0e} is accepted)"
            )


def _beginnings(front_end: FrontEnd, window: WindowPolicy) -> list[tuple[int, float, Samples]]:
    """Seed, seconds and samples of each test sound, cut to one piece."""
    longest = window.frames * front_end.hop / front_end.sample_rate or np.inf
    lengths = ((seed, min(seconds, longest)) for seed, seconds in GOLDEN)
    return [(seed, seconds, waveform(seed, seconds)) for seed, seconds in lengths]


def _expected(
    model: SpeechModel, sound: Samples, front_end: FrontEnd, window: WindowPolicy
) -> Floats:
    return sound_logits(
        lambda features, frames: torch_logits(model, features, frames), sound, front_end, window
    )


def _batch(sounds: list[Samples], hop: int, pad_frames: int) -> tuple[Floats, Lengths]:
    frames = np.array([len(sound) // hop for sound in sounds], np.int64)
    length = -(-int(frames.max()) // pad_frames) * pad_frames * hop
    waveforms = np.zeros((len(sounds), length), np.float32)
    for row, sound, count in zip(waveforms, sounds, frames, strict=True):
        row[: count * hop] = sound[: count * hop] * _FULL_SCALE
    return waveforms, frames


def _run(session: Any, waveforms: Floats, frames: Lengths) -> tuple[Floats, Floats]:
    scores, logits = session.run(
        ["probabilities", "logits"], {"waveform": waveforms, "frames": frames}
    )
    return scores, logits
