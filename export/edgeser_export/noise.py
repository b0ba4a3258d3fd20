"""A noise logit for a trained model: one more linear output of the vector before its last layer.

A network answers with confidence even to input unlike any speech it has heard (Hendrycks and
Gimpel 2017). But such input lies elsewhere in the space of those vectors. A logistic regression
separates speech from noise there, and leaves the network's logits of speech unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from edgeser.bench.folder import sounds_in, with_name
from edgeser.bench.sound import samples_of
from edgeser.errors import UserError
from edgeser.model.artefact import Noise
from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser_export.calibration import trained_on
from edgeser_train.corpora import Utterance
from edgeser_train.models.ensemble import members_of
from edgeser_train.models.scoring import utterance_logits
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.sound.augment import WaveformAugmentation, vary
from edgeser_train.training.checkpoint import Origin

_UTTERANCES = 500
"""Of each corpus, drawn at random."""

_CROPS = 4
"""From every sound without speech."""

_CROP_S = (1.0, 3.5)
_SILENCE_RMS = 20
"""Of 32768: quieter crops are left out, as they would not pass for speech anyway."""

_SNR_DB = (0.0, 20.0)
_ELSEWHERE = WaveformAugmentation(
    tilt_db=15.0,
    tilt_chance=0.8,
    room_chance=0.5,
    snr_db=(0.0, 35.0),
    noise_chance=0.8,
    band_chance=0.3,
    codec_chance=0.3,
)
"""Other microphones and rooms, so that no corpus's own sound is learnt."""

_DECAY = 0.03
"""Weight decay, for standardised vectors."""

_MISTAKEN = 0.01
"""The share of a held-out corpus, as recorded, that may be mistaken for noise."""

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Windows:
    """Windows of speech, or of noise. ``groups``: (windows,), those of one group are held out
    together; ``recorded``: (windows,), whether a window is as recorded.
    """

    sounds: list[Samples]
    groups: npt.NDArray[np.int64]
    recorded: npt.NDArray[np.bool_]


def learn_noise(
    model: SpeechModel,
    origin: Origin,
    named_paths: Sequence[str],
    folder: Path,
    pattern: str,
    credit: str,
) -> Noise:
    """Give a model, or each member of an ensemble, a layer with the log odds that a sound is noise.

    ``named_paths``: at least two corpora NAME=PATH that it was trained on; ``folder``: sounds
    without speech, of which those whose name matches the regular expression ``pattern`` are used;
    ``credit``: whose they are. Each utterance is used as it is, with noise added, and as if in
    other rooms. Each corpus in turn is held out with its share of the sounds; the log odds are
    shifted so that at most one per cent of each held-out corpus has log odds above 0.

    Raises UserError for fewer corpora, for others, for a folder without sounds, and for a model
    that cannot have such a layer.
    """
    members = members_of(model)
    _vectors(members[0], origin, [np.zeros(SAMPLE_RATE, np.int16)])  # raises if it cannot
    if len(named_paths) < 2:
        raise UserError(
            "--noise: its effect on other speech is measured by holding out a corpus",
            "give two or more that trained the model with --calibrate",
        )
    files = with_name(sounds_in(folder), pattern)
    if len(files) < len(named_paths):
        raise UserError(f"--noise {folder}: too few sounds in it", "give more, or another pattern")
    corpora = [trained_on(origin, named) for named in named_paths]
    names = [corpus[0].corpus for corpus in corpora]
    if len(set(names)) < len(names):
        raise UserError(
            f"--calibrate: of {', '.join(names)} one is there twice, and could not be held out",
            "name each corpus once",
        )
    rng = np.random.default_rng(0)
    noise = _noise(files, len(corpora), rng)
    if len(set(noise.groups)) < len(corpora):
        raise UserError(
            f"--noise {folder}: too few of its sounds are loud, and last half a second",
            "give more, or another pattern",
        )
    speech = _speech(corpora, noise, rng)
    odds: Doubles = np.zeros((len(corpora), len(speech.sounds)))
    odds_of_noise = np.zeros(len(noise.sounds))
    for member in members:
        of_speech = _vectors(member, origin, speech.sounds)
        of_noise = _vectors(member, origin, noise.sounds)
        for k in range(len(corpora)):
            layer = _regression(of_speech, speech.groups, of_noise, noise.groups, left_out=k)
            odds[k] += _odds(layer, of_speech) / len(members)
            out = noise.groups == k
            odds_of_noise[out] += _odds(layer, of_noise[out]) / len(members)
        member.noise = _regression(of_speech, speech.groups, of_noise, noise.groups)
    held_out = [odds[k][speech.recorded & (speech.groups == k)] for k in range(len(corpora))]
    shift = least_shift(held_out)
    for member in members:
        assert isinstance(member.noise, nn.Linear)
        with torch.no_grad():
            member.noise.bias.sub_(shift)
    return Noise(
        sounds=credit,
        found=round(float(np.mean(odds_of_noise > shift)), 4),
        mistaken=round(max(float(np.mean(some > shift)) for some in held_out), 4),
    )


def least_shift(held_out: Sequence[Doubles]) -> float:
    """The least non-negative amount to subtract from the log odds of corpora, (utterances,) each,
    so that at most one per cent of each are above 0.
    """
    return max(
        0.0, *(float(np.quantile(o, 1 - _MISTAKEN, method="inverted_cdf")) for o in held_out)
    )


def _noise(files: Sequence[Path], groups: int, rng: np.random.Generator) -> _Windows:
    """Crops of the sounds. A group consists of files that are neighbours by name, since these may
    be parts of one recording.
    """
    order = sorted(files, key=lambda file: file.name)
    sounds, group = [], []
    for place, file in enumerate(order):
        sound = samples_of(file)
        for _ in range(_CROPS):
            length = round(rng.uniform(*_CROP_S) * SAMPLE_RATE)
            first = int(rng.integers(max(1, len(sound) - length)))
            crop = sound[first : first + length]
            if len(crop) >= _CROP_S[0] * SAMPLE_RATE / 2 and _rms(crop) >= _SILENCE_RMS:
                sounds.append(vary(crop, WaveformAugmentation(), rng))
                group.append(place * groups // len(order))
    return _Windows(sounds, np.array(group), np.zeros(len(group), np.bool_))


def _speech(
    corpora: Sequence[Sequence[Utterance]], noise: _Windows, rng: np.random.Generator
) -> _Windows:
    """Each utterance as it is, in noise of its own group, and twice as if recorded elsewhere."""
    sounds: list[Samples] = []
    group: list[int] = []
    recorded: list[bool] = []
    for k, utterances in enumerate(corpora):
        around = [noise.sounds[i] for i in np.flatnonzero(noise.groups == k)]
        for i in rng.permutation(len(utterances))[:_UTTERANCES]:
            speech = utterances[i].samples()
            disturbed = _mixed(speech, around[rng.integers(len(around))], rng)
            sounds += [speech, vary(disturbed, WaveformAugmentation(), rng)]
            sounds += [vary(speech, _ELSEWHERE, rng) for _ in range(2)]
            group += [k] * 4
            recorded += [True, False, False, False]
    return _Windows(sounds, np.array(group), np.array(recorded))


def _mixed(speech: Samples, noise: Samples, rng: np.random.Generator) -> Samples:
    around = np.resize(noise, len(speech)).astype(np.float64)
    gain = _rms(speech) / max(1.0, _rms(around)) * 10 ** (-rng.uniform(*_SNR_DB) / 20)
    mixed = speech + gain * around
    quiet = min(1.0, 32767 / np.abs(mixed).max(initial=1.0))
    sound: Samples = np.round(mixed * quiet).astype(np.int16)
    return sound


def _rms(sound: npt.NDArray[np.generic]) -> float:
    return float(np.sqrt(np.mean(sound.astype(np.float64) ** 2))) if len(sound) else 0.0


def _vectors(model: SpeechModel, origin: Origin, sounds: Sequence[Samples]) -> Tensor:
    """The vectors before the model's last layer, (sounds, size). Raises UserError."""
    model.noise = nn.Identity()
    recipe = origin.recipe
    rows = utterance_logits(model, sounds, recipe.front_end, recipe.window)
    vectors = torch.from_numpy(rows[:, len(origin.labels) :])
    if not vectors.shape[1]:
        raise UserError(
            "--noise: this architecture does not name the vector behind its logits",
            "leave it out, or take lightweight, streaming or moonshine",
        )
    return vectors


def _regression(
    speech: Tensor,
    corpora: npt.NDArray[np.int64],
    noise: Tensor,
    parts: npt.NDArray[np.int64],
    left_out: int = -1,
) -> nn.Linear:
    """Logistic regression from a vector to the log odds of noise. All corpora have equal weights,
    noise that of all of them together. The returned layer includes the standardisation.
    """
    kept, kept_noise = corpora != left_out, parts != left_out
    x = torch.cat((speech[kept], noise[kept_noise])).double()
    mean, spread = x.mean(dim=0), x.std(dim=0) + 1e-3
    is_noise = np.repeat([0.0, 1.0], [kept.sum(), kept_noise.sum()])
    shares = np.bincount(corpora[kept])
    weights = 1 / shares[corpora[kept]] / np.count_nonzero(shares)
    counts = np.concatenate((weights, np.full(kept_noise.sum(), 1 / kept_noise.sum())))
    fitted = nn.Linear(x.shape[1], 1, dtype=torch.float64)
    nn.init.zeros_(fitted.weight)
    nn.init.zeros_(fitted.bias)
    optimiser = torch.optim.LBFGS(fitted.parameters(), max_iter=300, line_search_fn="strong_wolfe")
    z, target, count = (x - mean) / spread, torch.from_numpy(is_noise), torch.from_numpy(counts)

    def loss() -> Tensor:
        optimiser.zero_grad()
        each = nn.functional.binary_cross_entropy_with_logits(
            fitted(z).squeeze(1), target, weight=count, reduction="sum"
        )
        total = each / 2 + _DECAY * fitted.weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    layer = nn.Linear(x.shape[1], 1)
    with torch.no_grad():
        layer.weight.copy_(fitted.weight / spread)
        layer.bias.copy_(fitted.bias - (fitted.weight @ (mean / spread)))
    return layer


def _odds(layer: nn.Linear, vectors: Tensor) -> Doubles:
    with torch.inference_mode():
        odds: Doubles = layer(vectors).squeeze(1).double().numpy()
    return odds
