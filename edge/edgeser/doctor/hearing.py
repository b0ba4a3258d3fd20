"""Whether sound comes in: the level of a second of it, from the daemon that runs or the device."""

from __future__ import annotations

from contextlib import closing
from itertools import islice

from edgeser.audio.open import open_source
from edgeser.audio.source import AudioBlock
from edgeser.errors import UserError
from edgeser.events.schema import StatusEvent
from edgeser.events.subscribe.subscriber import Subscriber
from edgeser.pcm import SAMPLE_RATE
from edgeser.settings.schema import AudioSettings
from edgeser.speech.vad import VoiceActivity

LISTEN_S = 1.0
ASK_S = 3.0
"""A daemon says every second how it is."""

DIGITAL_SILENCE_DBFS = -85.0
"""Below the noise of every microphone: what comes is noughts, muted or of another input."""

_QUIETEST_DBFS, _CELL_DB = -90.0, 5.0


def running_daemon(endpoint: str) -> StatusEvent | None:
    """What a daemon at an endpoint says of itself; None where none answers.

    A status that comes as we connect may have heard nothing since the one before: of up to three
    the first with a level counts.
    """
    last: StatusEvent | None = None
    try:
        with Subscriber(endpoint, ("status.",), ASK_S) as subscriber:
            for event in islice(subscriber, 3):
                if isinstance(event, StatusEvent):
                    last = event
                    if event.level_dbfs is not None:
                        break
    except (TimeoutError, UserError):
        pass
    return last


def level_dbfs(audio: AudioSettings) -> float:
    """The loudest 20 ms of a second of a microphone. Raises UserError where none comes."""
    source = open_source(
        "mic", device=audio.device, channel=audio.channel, stall_s=audio.stall_seconds
    )
    activity, loudest = VoiceActivity(0), float("-inf")
    with closing(source):
        for item in source.blocks():
            if not isinstance(item, AudioBlock):
                if not item.recovered:
                    raise UserError(item.message, "see that nothing else has the device to itself")
                continue
            loudest = max([loudest, *(frame.level_dbfs for frame in activity.push(item.samples))])
            if item.first_sample >= LISTEN_S * SAMPLE_RATE:
                break
    return loudest


def meter(level: float) -> str:
    """A level in dBFS as a number and a bar."""
    cells = round((max(level, _QUIETEST_DBFS) - _QUIETEST_DBFS) / _CELL_DB)
    return f"{level:.0f} dBFS {'█' * cells}".rstrip()
