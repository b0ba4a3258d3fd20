"""The segmenter's configuration: settings in seconds become frames that suit the model."""

from __future__ import annotations

from typing import Protocol

from edgeser.pcm import FRAME_SAMPLES, SAMPLE_RATE
from edgeser.settings.schema import SettingsError, SpeechSettings
from edgeser.speech.segmenter import SegmenterConfig


class WindowLengths(Protocol):
    """What of a model's window policy the segmenter must know, in seconds."""

    @property
    def seconds(self) -> float:
        """Length of a partial window, once that much was said."""
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
        )
    except ValueError as error:
        raise SettingsError(f"speech: {error}") from error


def frames_in(seconds: float) -> int:
    """The number of VAD frames nearest to a duration."""
    return round(seconds * SAMPLE_RATE / FRAME_SAMPLES)
