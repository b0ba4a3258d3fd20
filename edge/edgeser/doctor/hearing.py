"""Whether sound comes in: according to the running daemon, or to a second of the device."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

from edgeser.audio.open import open_source
from edgeser.audio.source import AudioBlock
from edgeser.errors import UserError
from edgeser.events.schema import STATUS_PREFIX, StatusEvent
from edgeser.events.subscribe.subscriber import Subscriber
from edgeser.pcm import SAMPLE_RATE
from edgeser.settings.schema import AudioSettings
from edgeser.speech.vad import VoiceActivity

LISTEN_S = 1.0
ASK_S = 3.0
"""How long to wait for a status, which a daemon publishes every second."""

DIGITAL_SILENCE_DBFS = -85.0
"""Below the noise of every microphone: the samples are zeros, muted or from another input."""

_QUIETEST_DBFS, _CELL_DB = -90.0, 5.0


def running_streams(endpoint: str) -> dict[str, StatusEvent]:
    """The status of each stream of the daemon at an endpoint; empty if none answers.

    A status sent as we connect may have no level, since nothing was heard after the one before: of
    up to three of each stream the first with a level counts.
    """
    found: dict[str, StatusEvent] = {}
    rounds: Counter[str] = Counter()
    try:
        with Subscriber(endpoint, (STATUS_PREFIX,), ASK_S) as subscriber:
            for event in subscriber:
                if not isinstance(event, StatusEvent):
                    continue
                rounds[event.stream] += 1
                known = found.get(event.stream)
                if known is None or known.level_dbfs is None:
                    found[event.stream] = event
                all_came_twice = min(rounds.values()) > 1
                heard = (found[s].level_dbfs is not None or n >= 3 for s, n in rounds.items())
                if all_came_twice and all(heard):
                    break
    except (TimeoutError, UserError):
        pass
    return found


def is_heard(status: StatusEvent | None) -> bool:
    """Whether a daemon hears this stream, muted or not."""
    return status is not None and status.state not in ("starting", "no_audio", "stopping")


def described(status: StatusEvent) -> str:
    """``mic: listening, 2 faults``; faults since the daemon began."""
    state = "muted" if status.muted else status.state.replace("_", " ")
    if status.wrong_pace:
        state += ", at the wrong pace"
    faults = status.counters.faults
    counted = f", {faults} fault{'s' if faults > 1 else ''}" if faults else ""
    return f"{status.stream}: {state}{counted}"


def level_dbfs(audio: AudioSettings) -> float:
    """The loudest 20 ms of a second of a microphone. Raises UserError if no sound comes."""
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
