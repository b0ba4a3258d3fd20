"""Scores of whole utterances by a trained model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from edgeser.features import FrontEnd
from edgeser.features.frames import raw_frames
from edgeser.features.front_end import Floats
from edgeser.features.pieces import batch_of, pieces_of
from edgeser.model.artefact import WindowPolicy
from edgeser.pcm import Samples
from edgeser_train.models.speech_model import SpeechModel

Logits = npt.NDArray[np.float32]


def utterance_logits(
    model: SpeechModel, sounds: Iterable[Samples], front_end: FrontEnd, window: WindowPolicy
) -> Logits:
    """Logits (utterances, labels) of sounds int16 (n,), one by one as the device sees them.

    An utterance's logits are the mean of those of its pieces.
    """
    model.eval()
    rows = []
    with torch.inference_mode():
        for sound in sounds:
            pieces = utterance_pieces(sound, front_end, window, model.min_frames)
            features, frames = batch_of(pieces, window.pad_frames)
            logits = model(torch.from_numpy(features), torch.from_numpy(frames))
            rows.append(logits.mean(dim=0).numpy())
    return np.stack(rows)


def utterance_pieces(
    sound: Samples, front_end: FrontEnd, window: WindowPolicy, min_frames: int
) -> list[Floats]:
    """Features (frames, width) of an utterance's pieces; one too short ends in silence."""
    shortest = min_frames * front_end.hop
    if len(sound) < shortest:
        sound = np.pad(sound, (0, shortest - len(sound)))
    return pieces_of(raw_frames(sound, front_end), front_end, window)
