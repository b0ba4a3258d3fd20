"""How well speech is distinguished from noise: how much of each passes, and what it costs.

The daemon's hearing, with and without confirmation, decides what is speech; the model shows which
labels wrongly accepted noise would get.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import msgspec
import numpy as np

from edgeser.bench.ears import Ears
from edgeser.bench.mix import Noise, babble, mixed, pink, quietest, room
from edgeser.bench.report import Report
from edgeser.bench.sound import samples_of
from edgeser.events.schema import UNKNOWN, ModelRef
from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser.settings.schema import DecisionSettings, ModelSettings, SpeechSettings
from edgeser.speech.vad import level_dbfs

SNRS_DB = (20, 10, 5, 0)

_ROOM_S = 10.0
"""A quiet room before the sounds, so that the noise floor is known; not counted as noise."""

_LEAD_S, _TAIL_S = 2.0, 1.0
"""The room before and after an utterance, as loud as its own quietest moment."""

_FAINT_DB = 20.0
"""A final that is so much fainter than the loudest of its utterance is a breath or a step, and not
counted."""

_BACKGROUNDS = 40
"""Most sounds of the folder that utterances are mixed with."""


class Rejected(msgspec.Struct, frozen=True):
    """What was heard in sound of one class without speech.

    ``finals``: emotions that would be published. ``speech_s``: total length of their segments.
    ``rejected``: sounds that were taken for speech at first. ``plain_finals``: without
    confirmation; ``plain_named``: of these, those that the model does not call unknown.
    ``said``: labels of the finals, the most frequent first; ``confidence``: their median, null
    if there are none.
    """

    name: str
    seconds: float
    finals: int
    speech_s: float
    rejected: int
    plain_finals: int
    plain_named: int
    said: dict[str, int]
    confidence: float | None

    @property
    def finals_per_hour(self) -> float:
        return self.finals * 3600 / self.seconds


class Kept(msgspec.Struct, frozen=True):
    """How many of the utterances are still heard under a condition.

    ``utterances``: finals in the clean sound without confirmation, except those that are much
    fainter than another of the same file. ``kept``, ``plain_kept``: those at least half covered by
    finals, with and without confirmation. ``start_s``, ``end_s``: by how much a kept final begins
    and ends later than the clean one: 5 %, median and 95 %.
    """

    condition: str
    utterances: int
    kept: int
    plain_kept: int
    start_s: tuple[float, float, float]
    end_s: tuple[float, float, float]


class Cost(msgspec.Struct, frozen=True):
    """Processor seconds of hearing a second of speech, without its features' normalisation."""

    confirmed_ms_per_s: float
    plain_ms_per_s: float

    @property
    def ratio(self) -> float:
        return self.confirmed_ms_per_s / self.plain_ms_per_s

    @property
    def core_percent(self) -> float:
        """Share of a core that confirmation takes while somebody speaks."""
        return (self.confirmed_ms_per_s - self.plain_ms_per_s) / 10


class HeardBy(msgspec.Struct, frozen=True):
    """The settings of the hearing, and of the model that judged what was heard."""

    speech: SpeechSettings
    decision: DecisionSettings
    model: ModelSettings


class RejectsReport(Report, frozen=True, kw_only=True, tag="edgeser-rejects-1"):
    """The whole benchmark; ``speech`` and ``cost`` by the folder of utterances, as given.

    ``folder``: of the noise. ``seed``: of the choice of files and of the noise.
    """

    model: ModelRef
    backend: str
    settings: HeardBy
    folder: str
    seed: int
    noise: list[Rejected]
    speech: dict[str, list[Kept]]
    cost: dict[str, Cost]


def rejected(ears: Ears, name: str, files: Sequence[Path]) -> Rejected:
    """Sounds without speech, one after the other. Raises UserError for one that is no sound."""
    noise = np.concatenate([samples_of(file) for file in files])
    sound = np.concatenate([room(_ROOM_S), noise])
    heard, plain = (ears.hear(sound, confirm=on) for on in (True, False))
    events = ears.said(heard.windows)
    return Rejected(
        name,
        seconds=len(noise) / SAMPLE_RATE,
        finals=len(heard.finals),
        speech_s=sum(end - start for start, end in heard.finals) / SAMPLE_RATE,
        rejected=heard.rejected,
        plain_finals=len(plain.finals),
        plain_named=sum(event.label != UNKNOWN for event in ears.said(plain.windows)),
        said=dict(Counter(event.label for event in events).most_common()),
        confidence=median(event.confidence for event in events) if events else None,
    )


def kept(
    ears: Ears,
    files: Sequence[Path],
    clips: Sequence[Path] | None,
    seed: int,
    tell: Callable[[Kept], None],
) -> tuple[list[Kept], Cost]:
    """Utterances, clean and in each noise at each ratio.

    ``clips``: background sounds; None for clean utterances only. ``tell`` is called with each row
    when it is known. Raises UserError for a file that is no sound.
    """
    utterances = [_in_its_room(samples_of(file)) for file in files]
    clean = [
        _loud(ears.hear(sound, confirm=False, known_s=_LEAD_S).finals, sound)
        for sound in utterances
    ]
    total = sum(map(len, clean))
    found = []
    cpu_s = {True: 0.0, False: 0.0}
    for condition, noisy in _conditions(utterances, clean, clips, seed):
        counts = {True: 0, False: 0}
        shifts: list[tuple[float, float]] = []
        for sound, expected in zip(noisy, clean, strict=True):
            for confirm in (True, False):
                heard = ears.hear(sound, confirm=confirm, known_s=_LEAD_S)
                there = [_covered(final, heard.finals) for final in expected]
                counts[confirm] += sum(cover is not None for cover in there)
                if condition == "clean":
                    cpu_s[confirm] += heard.cpu_s
                if confirm:
                    shifts += [
                        (cover[0] - final[0], cover[1] - final[1])
                        for final, cover in zip(expected, there, strict=True)
                        if cover is not None
                    ]
        row = Kept(
            condition,
            total,
            counts[True],
            counts[False],
            _spread([start for start, _ in shifts]),
            _spread([end for _, end in shifts]),
        )
        tell(row)
        found.append(row)
    spoken_s = sum(end - start for finals in clean for start, end in finals) / SAMPLE_RATE
    cost = Cost(*(1000 * cpu_s[on] / max(1e-9, spoken_s) for on in (True, False)))
    return found, cost


def _in_its_room(utterance: Samples) -> Samples:
    rms = float(np.sqrt(np.mean(quietest(utterance).astype(np.float64) ** 2)))
    return np.concatenate((room(_LEAD_S, rms), utterance, room(_TAIL_S, rms)))


def _loud(finals: list[tuple[int, int]], sound: Samples) -> list[tuple[int, int]]:
    """The finals that are loud enough to be speech, not a breath before it."""
    levels = [level_dbfs(sound[start:end]) for start, end in finals]
    least = max(levels, default=0.0) - _FAINT_DB
    return [final for final, level in zip(finals, levels, strict=True) if level >= least]


def _conditions(
    utterances: list[Samples],
    clean: list[list[tuple[int, int]]],
    clips: Sequence[Path] | None,
    seed: int,
) -> Iterator[tuple[str, list[Samples]]]:
    """Each condition's name, and the utterances under it."""
    yield "clean", utterances
    if clips is None:
        return
    rng = np.random.default_rng(seed)
    voices = [u[round(_LEAD_S * SAMPLE_RATE) : -round(_TAIL_S * SAMPLE_RATE)] for u in utterances]
    noises: dict[str, Callable[[int], Noise]] = {
        "pink noise": lambda n: pink(rng, n),
        "babble": lambda n: babble(rng, voices, n),
    }
    backgrounds = [samples_of(clips[i]) for i in rng.permutation(len(clips))[:_BACKGROUNDS]]
    noises["clips"] = lambda n: np.resize(
        backgrounds[rng.integers(len(backgrounds))].astype(np.float64), n
    )
    for name, noise in noises.items():
        for snr_db in SNRS_DB:
            yield (
                f"{name}, {snr_db} dB",
                [
                    mixed(sound, spoken, noise(len(sound)), snr_db)
                    for sound, spoken in zip(utterances, clean, strict=True)
                ],
            )


def _covered(final: tuple[int, int], found: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """First start and last end of the found finals that overlap ``final``; None unless they cover
    at least half of it."""
    there = [(start, end) for start, end in found if start < final[1] and end > final[0]]
    covered = sum(min(end, final[1]) - max(start, final[0]) for start, end in there)
    if 2 * covered < final[1] - final[0]:
        return None
    return there[0][0], there[-1][1]


def _spread(samples: Sequence[float]) -> tuple[float, float, float]:
    """5 %, median and 95 %, in seconds."""
    if not samples:
        return (0.0, 0.0, 0.0)
    low, middle, high = np.quantile(samples, [0.05, 0.5, 0.95]) / SAMPLE_RATE
    return (round(float(low), 3), round(float(middle), 3), round(float(high), 3))
