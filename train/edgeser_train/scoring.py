"""Scores of whole utterances by a trained model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from edgeser.audio.source import Samples
from edgeser.features.frames import features_of
from edgeser.features.front_end import Floats, FrontEnd
from edgeser_train.models.lightweight import Lightweight

Logits = npt.NDArray[np.float32]


def utterance_logits(
    model: Lightweight, sounds: Iterable[Samples], front_end: FrontEnd, max_frames: int
) -> Logits:
    """Logits (utterances, labels) of sounds int16 (n,), one by one as the device sees them."""
    with torch.inference_mode():
        rows = [
            model(torch.from_numpy(x)[None], torch.tensor([len(x)]))[0].numpy()
            for x in (utterance_features(sound, front_end, max_frames) for sound in sounds)
        ]
    return np.stack(rows)


def utterance_features(sound: Samples, front_end: FrontEnd, max_frames: int) -> Floats:
    """Features (frames, mels) of an utterance, or of its middle ``max_frames``."""
    length = max_frames * front_end.hop
    if len(sound) > length:
        first = (len(sound) - length) // 2 // front_end.hop * front_end.hop
        sound = sound[first : first + length]
    elif len(sound) < Lightweight.min_frames * front_end.hop:
        sound = np.pad(sound, (0, Lightweight.min_frames * front_end.hop - len(sound)))
    return features_of(sound, front_end)


def scaled(sound: Samples, gain_db: float) -> Samples:
    """As a microphone with another gain gives it: int16 again, rounded and clipped."""
    louder = np.round(sound.astype(np.float64) * 10 ** (gain_db / 20))
    return np.clip(louder, -32768, 32767).astype(np.int16)
