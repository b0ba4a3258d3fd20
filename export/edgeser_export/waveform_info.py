"""The metadata of the variant that takes a waveform, and its verification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from edgeser.errors import UserError
from edgeser.features import FrontEnd, WindowPolicy
from edgeser.features.front_end import Floats
from edgeser.features.pieces import Lengths, padded_length
from edgeser.model.artefact import Golden, ModelInfo
from edgeser.model.golden import waveform
from edgeser.onnx_session import open_session
from edgeser.pcm import Samples
from edgeser_export.golden import GOLDEN, Network, scored, sound_logits
from edgeser_export.verify import (
    RELATIVE_ABOVE,
    TOLERANCES,
    Difference,
    accept,
    difference,
)
from edgeser_export.waveform import WaveformFrontEnd

_FULL_SCALE = np.float32(1 / 32768)
_SCORE_TOLERANCE = 1e-3


class WaveformInfo(ModelInfo, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The contract of the graph: one piece of sound per row.

    ``waveform`` (batch, samples): mono, ``sample_rate``, in [-1, 1]. First the ``history`` samples
    just before the piece, zeros at the beginning of a sound; then the piece; then any numbers up to
    a multiple of ``hop * window.pad_frames`` samples after the history.
    ``frames`` (batch,): length of the piece in hops of ``hop`` samples, at least ``min_frames`` and
    at most ``window.frames`` if that is not 0; the graph fails for others, and for NaN and infinity
    among the samples. The caller cuts a longer sound as ``window`` says, and averages its pieces'
    logits. With ``window.fill`` the graph itself pads a piece. Golden scores are those of the test
    sounds, cut to ``seconds``.
    """

    sample_rate: int
    hop: int
    history: int
    min_frames: int


def with_shift(network: Network, info: ModelInfo) -> Network:
    """The network as in its waveform graph: logits of labels only, plus
    ``Centring.stranger_shift``, since to the graph every voice is unknown.
    """
    labels, shift = len(info.labels), np.array(info.stranger_shift or 0, np.float32)
    return lambda features, frames: network(features, frames)[:, :labels] + shift


def waveform_golden(network: Network, info: ModelInfo) -> list[Golden]:
    """Calibrated scores of the beginnings of the test sounds, by the front end and the network."""
    front_end, window = info.front_end, info.window
    return [
        scored(seed, seconds, sound_logits(network, sound, front_end, window), info.temperature)
        for seed, seconds, sound in _beginnings(front_end, window)
    ]


def verify_waveform(
    content: bytes, network: Network, info: WaveformInfo, more: Sequence[Samples] = ()
) -> Difference:
    """The largest difference of a logit from the network's, on test sounds singly and in one batch.

    ``network``: what the graph was made from; ``info``: its metadata; ``more``: other sounds, each
    compared singly by its first piece.

    Raises UserError when that is above 1e-4, and when a score is more than 1e-3 from the network's
    on the features that the daemon computes.
    """
    front_end, window = info.front_end, info.window
    module = WaveformFrontEnd(front_end, window)
    session = open_session(content)
    worst = Difference()
    longest, shortest = window.frames * front_end.hop or None, info.min_frames * front_end.hop
    sounds = [sound for _, _, sound in _beginnings(front_end, window)]
    alone = [*sounds, *(sound[:longest] for sound in more if len(sound) >= shortest)]
    for batch in [*([sound] for sound in alone), sounds]:
        waveforms, frames = _batch(batch, front_end, window.pad_frames)
        with torch.inference_mode():
            features, counted = module(torch.from_numpy(waveforms), torch.from_numpy(frames))
        logits = network(features.numpy(), counted.numpy())
        for row, count in zip(waveforms, frames, strict=True):
            row[front_end.history + count * front_end.hop :] = 0.7
        scores, found = _run(session, waveforms, frames)
        where = f"batch {len(batch)}, {waveforms.shape[1]} samples"
        apart = difference(found, logits, where, RELATIVE_ABOVE["fp32"])
        accept(apart, TOLERANCES["fp32"])
        worst = max(worst, apart, key=lambda d: d.value)
        for row, sound in zip(scores, batch, strict=True):
            expected = sound_logits(network, sound, front_end, window)
            _same_scores(row, scored(0, 0.0, expected, info.temperature).scores)
    return worst


def _same_scores(found: Floats, expected: Sequence[float]) -> None:
    apart = float(np.abs(found - np.array(expected)).max())
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


def _batch(sounds: list[Samples], front_end: FrontEnd, pad_frames: int) -> tuple[Floats, Lengths]:
    hop, history = front_end.hop, front_end.history
    frames = np.array([len(sound) // hop for sound in sounds], np.int64)
    length = padded_length(int(frames.max()), pad_frames) * hop
    waveforms = np.zeros((len(sounds), history + length), np.float32)
    for row, sound, count in zip(waveforms, sounds, frames, strict=True):
        row[history : history + count * hop] = sound[: count * hop] * _FULL_SCALE
    return waveforms, frames


def _run(session: Any, waveforms: Floats, frames: Lengths) -> tuple[Floats, Floats]:
    scores, logits = session.run(
        ["probabilities", "logits"], {"waveform": waveforms, "frames": frames}
    )
    return scores, logits
