"""The segmenter's configuration: settings in seconds become frames that suit the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edgeser.pcm import FRAME_SAMPLES, SAMPLE_RATE
from edgeser.settings.schema import SettingsError, SpeechSettings
from edgeser.speech.room import LOUD_DBFS


@dataclass(frozen=True, slots=True)
class SegmenterConfig:
    """All lengths in frames of 20 ms.

    A frame is speech when it is voiced and at least ``start_snr_db`` (inside a segment
    ``end_snr_db``) above the noise floor. ``start`` of the last ``start_within`` frames must be
    speech for a segment to begin, none of the last ``end`` for it to end, of which it keeps
    ``hangover``. ``minimum`` is counted from its first to its last speech frame, ``maximum`` from
    its start, pre-roll included.

    ``confirm``: the mean voice probability that the speech frames of the last 0.8 s need for a
    segment to be announced; None announces every segment. It is checked from just before the first
    window on, and once more, for the whole segment, when that ends. ``loud_dbfs``: the noise floor
    above which the voice detector hears the room before the segment, which makes it more accurate;
    None where it hears segments only.
    """

    start_snr_db: float
    end_snr_db: float
    start: int
    start_within: int
    pre_roll: int
    end: int
    hangover: int
    minimum: int
    maximum: int
    window: int
    window_minimum: int
    hop: int
    confirm: float | None = None
    loud_dbfs: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.start <= self.start_within:
            raise ValueError("need 1 <= start <= start_within")
        if self.end_snr_db > self.start_snr_db:
            raise ValueError("end_snr_db must not be above start_snr_db")
        if not 0 <= self.hangover <= self.end:
            raise ValueError("the hangover must not be longer than the silence that ends a segment")
        if self.maximum < self.pre_roll + self.start_within + self.end:
            raise ValueError("maximum is shorter than pre-roll, start and end together")
        if min(self.end, self.hop, self.window, self.window_minimum) < 1:
            raise ValueError("end, hop and window must be at least one frame of 20 ms")


class WindowLengths(Protocol):
    """The part of a model's window policy that the segmenter needs, in seconds."""

    @property
    def seconds(self) -> float:
        """Length of a partial window, once that much speech has been heard."""
        ...

    @property
    def min_seconds(self) -> float:
        """Length of the shortest partial window."""
        ...

    @property
    def max_seconds(self) -> float:
        """Length of the longest segment."""
        ...


def segmenter_config(speech: SpeechSettings, window: WindowLengths) -> SegmenterConfig:
    """The settings in frames, within what the model can take. Raises SettingsError."""
    maximum = speech.max_seconds or window.max_seconds
    if maximum > window.max_seconds:
        raise SettingsError(
            f"speech.max_seconds: the model takes at most {window.max_seconds} s, got {maximum}"
        )
    length = speech.window_seconds or window.seconds
    if length > maximum:
        raise SettingsError(
            f"speech.window_seconds: expected at most max_seconds ({maximum}), got {length}"
        )
    try:
        return SegmenterConfig(
            start_snr_db=speech.start_snr_db,
            end_snr_db=speech.end_snr_db,
            start=max(1, frames_in(speech.start_seconds)),
            start_within=max(1, frames_in(speech.start_within_seconds)),
            pre_roll=frames_in(speech.pre_roll_seconds),
            end=frames_in(speech.end_seconds),
            hangover=frames_in(speech.hangover_seconds),
            minimum=frames_in(speech.min_seconds),
            maximum=frames_in(maximum),
            window=frames_in(length),
            window_minimum=frames_in(min(length, window.min_seconds)),
            hop=frames_in(speech.hop_seconds),
            confirm=speech.confirm_probability if speech.confirm else None,
            loud_dbfs=LOUD_DBFS if speech.confirm else None,
        )
    except ValueError as error:
        raise SettingsError(f"speech: {error}") from error


def frames_in(seconds: float) -> int:
    """The number of VAD frames nearest to a duration."""
    return round(seconds * SAMPLE_RATE / FRAME_SAMPLES)
