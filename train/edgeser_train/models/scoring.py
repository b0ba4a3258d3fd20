"""Scores of whole utterances by a trained model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from edgeser.features import Baseline, FrontEnd
from edgeser.features.baseline import no_baseline
from edgeser.features.frames import raw_frames
from edgeser.features.front_end import Floats
from edgeser.features.pieces import Pieces, batch_of, pieces_of
from edgeser.model.artefact import WindowPolicy
from edgeser.model.centring import Centring
from edgeser.pcm import Samples
from edgeser_train.models.speech_model import SpeechModel

Logits = npt.NDArray[np.float32]


def utterance_logits(
    model: SpeechModel, sounds: Iterable[Samples], front_end: FrontEnd, window: WindowPolicy
) -> Logits:
    """Logits (utterances, labels) of sounds int16 (n,), one by one as the device sees them.

    An utterance's logits are the mean of those of its pieces.
    """
    return np.stack(
        [
            _logits(model, utterance_pieces(sound, front_end, window, model.min_frames), window)
            for sound in sounds
        ]
    )


def windows_logits(model: SpeechModel, windows: Sequence[Pieces], pad_frames: int) -> Logits:
    """Logits (windows, labels) of windows, each the mean over its pieces, run as one batch on the
    model's device; on a GPU in full float32, not in TF32.
    """
    model.eval()
    features, frames = batch_of([piece for window in windows for piece in window], pad_frames)
    device = model.mean.device
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        logits = model(torch.from_numpy(features).to(device), torch.from_numpy(frames).to(device))
    parts = logits.cpu().split([len(window) for window in windows])
    means: Logits = torch.stack([part.mean(dim=0) for part in parts]).numpy()
    return means


def scoring_device() -> str:
    """The GPU where there is one, as in training."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def voice_logits(
    model: SpeechModel,
    sounds: Iterable[Samples],
    front_end: FrontEnd,
    window: WindowPolicy,
    centring: Centring | None,
) -> Logits:
    """Logits (utterances, labels) of sounds int16 (n,) of one voice, each relative to all the
    others: to their spectrum, if the front end normalises by voice, and to their logits, with a
    ``centring``.
    """
    frames = [frames_of(sound, front_end, model.min_frames) for sound in sounds]
    spectra = _of_others([front_end.heard(rows) for rows in frames], front_end.baseline_frames)
    rows = [
        _logits(model, pieces_of(own, front_end, window, heard), window)
        for own, heard in zip(frames, spectra, strict=True)
    ]
    if centring is None:
        return np.stack(rows)
    means = [Baseline(row, len(own)) for row, own in zip(rows, frames, strict=True)]
    others = _of_others(means, centring.most_frames)
    return np.stack([centring.centred(*of_one) for of_one in zip(rows, others, strict=True)])


def utterance_pieces(
    sound: Samples, front_end: FrontEnd, window: WindowPolicy, min_frames: int
) -> list[Floats]:
    """Features (frames, width) of an utterance's pieces; one too short is padded with silence."""
    return pieces_of(frames_of(sound, front_end, min_frames), front_end, window)


def frames_of(sound: Samples, front_end: FrontEnd, min_frames: int) -> Floats:
    """Raw frames (frames, bins), at least ``min_frames``: short sounds are padded with silence."""
    shortest = min_frames * front_end.hop
    if len(sound) < shortest:
        sound = np.pad(sound, (0, shortest - len(sound)))
    return raw_frames(sound, front_end)


def _logits(model: SpeechModel, pieces: Pieces, window: WindowPolicy) -> Logits:
    """Of one window (labels,)."""
    logits: Logits = windows_logits(model, [pieces], window.pad_frames)[0]
    return logits


def _of_others(baselines: Sequence[Baseline], most: int) -> list[Baseline]:
    """For each baseline the others together, as on a device that heard them one after the other.

    Of more than ``most`` frames the first are forgotten. ``of_others`` in ``features.baseline``
    weighs all frames equally instead; using it would change a teacher's logits.
    """
    others = []
    for own in range(len(baselines)):
        total = no_baseline(len(baselines[own].mean))
        for baseline in (*baselines[:own], *baselines[own + 1 :]):
            total = total.updated(baseline, most)
        others.append(total)
    return others
