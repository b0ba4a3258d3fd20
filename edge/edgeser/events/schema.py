"""The events, version 1. A field is never removed or given a new meaning while ``v`` is 1."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

from edgeser.events.sequence import Gap

Probability: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
Milliseconds: TypeAlias = float
Seconds: TypeAlias = float
Dbfs: TypeAlias = float

UNKNOWN = "unknown"
"""The label of a window in which the model is not confident enough."""

EMOTION_PREFIX = "emotion."
SPEECH_PREFIX = "speech."
FAULT_PREFIX = "fault."
STATUS_PREFIX = "status."
LEVEL_PREFIX = "level."
"""The beginning of the topics of each type of event; the stream's name follows."""

PASSING = (STATUS_PREFIX, LEVEL_PREFIX)
"""Topics that are not kept: their latest event replaces all earlier ones."""

FaultCode: TypeAlias = Literal[
    "audio_lost",
    "audio_restored",
    "audio_overflow",
    "audio_pace",
    "non_finite_samples",
    "file_truncated",
    "odd_byte",
    "window_dropped",
    "inference_failed",
    "backend_fell_back",
    "journal_off",
    "journal_restored",
    "settings_rejected",
    "restart_needed",
    "restart_due",
    "source_failed",
    "daemon_failed",
]
"""The fault codes of this version. A later one may have more, so ``FaultEvent.code`` is a ``str``:
a subscriber must not fail on a code that it does not know."""

FAULT_CODES: dict[FaultCode, str] = {
    "audio_lost": "no sound arrives any more; the source is being restarted",
    "audio_restored": "sound arrives again",
    "audio_overflow": "the device or its driver dropped samples",
    "audio_pace": "sound arrives faster or slower than real time: its rate or format is wrong; "
    "recovered: no longer",
    "non_finite_samples": "the source gave samples that are not numbers; they count as silence",
    "file_truncated": "the file ended before its stated length",
    "odd_byte": "the raw sound ended in the middle of a sample",
    "window_dropped": "a partial window was dropped to keep up; the message says why",
    "inference_failed": "the model gave no scores for a window",
    "backend_fell_back": "the chosen backend cannot run the model; ONNX Runtime does instead",
    "journal_off": "events are not kept any more; they are still published",
    "journal_restored": "events are kept again",
    "settings_rejected": "new settings are wrong and the old ones stay in force",
    "restart_needed": "some new settings take effect only when the daemon is restarted",
    "restart_due": "the service is stuck and about to be restarted; recovered: it works again",
    "source_failed": "a source cannot be used, and the daemon ends",
    "daemon_failed": "the daemon ends because of a defect; a service manager restarts it",
}
"""What a fault's ``code`` means."""


State: TypeAlias = Literal["starting", "listening", "speech", "no_audio", "degraded", "stopping"]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every event carries. ``epoch``, ``seq`` and ``time`` are filled in by the publisher."""

    type: ClassVar[str]
    v: Literal[1] = 1
    stream: Annotated[str, Meta(description="name of the audio stream")]
    epoch: Annotated[str, Meta(description="random id of this run of the daemon")] = ""
    seq: Annotated[int, Meta(description="per topic, from 1, without holes")] = 0
    time: Annotated[float, Meta(description="Unix seconds at which the event was published")] = 0.0


class Smoothed(msgspec.Struct, frozen=True):
    """The stream's state with hysteresis over windows."""

    label: Annotated[str, Meta(description="the state; changes only on sustained evidence")]
    since: Annotated[Seconds, Meta(description="stream seconds at which it took this label")]


class Quality(msgspec.Struct, frozen=True):
    """How good the sound of the window was."""

    speech_ratio: Annotated[float, Meta(ge=0, le=1, description="share of VAD frames with speech")]
    level_dbfs: Annotated[float, Meta(description="RMS level, dB below full scale")]
    clipped_ratio: Annotated[float, Meta(ge=0, le=1, description="share of samples at full scale")]
    snr_db: Annotated[float, Meta(description="level above the tracked noise floor, dB")]
    speech_probability: Annotated[
        Probability | None,
        Meta(description="that its speech frames are a voice, in the mean; null where none judges"),
    ] = None
    noise_probability: Annotated[
        Probability | None,
        Meta(
            description="that the window is noise to the emotion network itself; above "
            "`decision.noise_above` the label is `unknown`; null where the model does not know "
            "noise"
        ),
    ] = None


class Latency(msgspec.Struct, frozen=True):
    """Where the time went, from the capture of the last sample needed to the socket."""

    capture: Annotated[
        Milliseconds, Meta(description="capture of the last sample needed to its arrival")
    ]
    segment: Annotated[Milliseconds, Meta(description="VAD and segmentation")]
    features: Annotated[
        Milliseconds, Meta(description="frames not computed before, and the window's normalisation")
    ]
    queue: Annotated[Milliseconds, Meta(description="waiting for the inference worker")]
    inference: Annotated[Milliseconds, Meta(description="the network and the decision")]
    publish: Annotated[Milliseconds, Meta(description="waiting for the publisher")]
    total: Annotated[
        Milliseconds, Meta(description="capture of the last sample needed to the socket")
    ]


class ModelRef(msgspec.Struct, frozen=True):
    """Which model spoke."""

    name: str
    version: str
    sha256: Annotated[str, Meta(description="of the artefact file")]


class Lost(msgspec.Struct, frozen=True):
    """What was lost on this stream since its last emotion event."""

    samples: Annotated[Count, Meta(description="samples the device or its driver dropped")] = 0
    windows: Annotated[Count, Meta(description="partial windows dropped to stay in time")] = 0


class EmotionEvent(Event, frozen=True, kw_only=True, tag="emotion"):
    """The emotion of one window (partial) or one whole segment (final)."""

    type: ClassVar[Literal["emotion"]] = "emotion"
    segment: Annotated[int, Meta(ge=1, description="number of the speech segment in the stream")]
    kind: Literal["partial", "final"]
    start: Annotated[Seconds, Meta(description="stream seconds of the window's first sample")]
    end: Annotated[Seconds, Meta(description="stream seconds just after its last sample")]
    label: Annotated[str, Meta(description="the likeliest label, or `unknown`")]
    confidence: Annotated[Probability, Meta(description="calibrated probability of the likeliest")]
    scores: Annotated[dict[str, float], Meta(description="calibrated probability of each label")]
    smoothed: Smoothed
    valence: Annotated[
        float | None,
        Meta(
            description="unpleasant -1 to pleasant 1: where the labels lie on the circumplex of "
            "affect, weighted by the scores; null where a label has no place there"
        ),
    ] = None
    arousal: Annotated[
        float | None, Meta(description="calm -1 to excited 1, found in the same way")
    ] = None
    continued: Annotated[
        bool, Meta(description="the segment was cut at the maximum length; the next carries on")
    ] = False
    quality: Quality
    baseline_s: Annotated[
        float | None,
        Meta(
            description="seconds of earlier speech on this stream that tell how the voice usually "
            "sounds, and against which the window was judged; null where the model learns no voices"
        ),
    ] = None
    latency_ms: Latency
    model: ModelRef
    lost: Lost


class SpeechEvent(Event, frozen=True, kw_only=True, tag="speech"):
    """Speech begins or ends."""

    type: ClassVar[Literal["speech"]] = "speech"
    state: Literal["start", "end"]
    segment: Annotated[int, Meta(ge=1)]
    start: Annotated[Seconds, Meta(description="stream seconds of the segment's first sample")]
    end: Annotated[Seconds | None, Meta(description="just after its last; null at the start")] = (
        None
    )
    has_final: Annotated[
        bool, Meta(description="a final follows; false at the end where `reason` says why not")
    ] = True
    reason: Annotated[
        Literal["too_short", "not_speech"] | None,
        Meta(description="why there is no final; null where there is one, and at the start"),
    ] = None


class FaultEvent(Event, frozen=True, kw_only=True, tag="fault"):
    """Something went wrong, or is well again."""

    type: ClassVar[Literal["fault"]] = "fault"
    code: Annotated[str, Meta(description="one of the codes listed in docs/events.md")]
    message: Annotated[str, Meta(description="one line for a person")]
    recovered: Annotated[bool, Meta(description="the trouble is over, or never stopped the stream")]


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Totals since the daemon started."""

    samples: Count = 0
    lost_samples: Count = 0
    overflows: Count = 0
    restarts: Annotated[int, Meta(ge=0, description="times the audio source was restarted")] = 0
    segments: Count = 0
    rejected_segments: Annotated[
        int, Meta(ge=0, description="sounds that the VAD took for speech and that were no voice")
    ] = 0
    partials: Count = 0
    finals: Count = 0
    dropped_windows: Count = 0
    faults: Count = 0


class JournalRange(msgspec.Struct, frozen=True):
    """What a journal still holds of this epoch, per topic: first and last sequence number."""

    first: int
    last: int


class StatusEvent(Event, frozen=True, kw_only=True, tag="status"):
    """The state of the daemon, once a second."""

    type: ClassVar[Literal["status"]] = "status"
    state: State
    frame_age_s: Annotated[
        float | None, Meta(description="seconds since the last audio block; null before the first")
    ]
    uptime_s: float
    position_s: Annotated[Seconds, Meta(description="stream seconds heard so far")]
    muted: Annotated[
        bool, Meta(description="what is heard does not count, until it is unmuted")
    ] = False
    wrong_pace: Annotated[
        bool, Meta(description="sound comes faster or slower than real time; its events are wrong")
    ] = False
    counters: Counters
    model: ModelRef
    backend: Annotated[str, Meta(description="what runs the model, e.g. onnxruntime/CPU")]
    backend_reason: Annotated[
        str, Meta(description="why none of the others runs it; empty where none was tried")
    ] = ""
    labels: Annotated[
        list[str], Meta(description="of the model; empty where an older daemon does not say")
    ] = []
    last_seq: Annotated[
        dict[str, int], Meta(description="last number sent per topic; filled in by the publisher")
    ] = {}
    journal: Annotated[
        dict[str, JournalRange], Meta(description="replayable events per topic; empty: no journal")
    ] = {}
    level_dbfs: Annotated[
        Dbfs | None, Meta(description="RMS level since the status before; null: nothing heard")
    ] = None
    noise_floor_dbfs: Annotated[
        Dbfs | None, Meta(description="level of the background; null before it is known")
    ] = None


class LevelEvent(Event, frozen=True, kw_only=True, tag="level"):
    """How loud it is, five times a second, while somebody subscribes to ``level.``."""

    type: ClassVar[Literal["level"]] = "level"
    speech: Annotated[bool, Meta(description="whether a segment of speech is open")]
    level_dbfs: Annotated[
        Dbfs | None, Meta(description="RMS level since the level event before; null: nothing heard")
    ]
    noise_floor_dbfs: Annotated[
        Dbfs | None, Meta(description="level of the background; null before it is known")
    ]


AnyEvent: TypeAlias = EmotionEvent | SpeechEvent | FaultEvent | StatusEvent | LevelEvent


def topic_of(event: Event) -> str:
    """``<type>.<stream>``, e.g. ``emotion.mic``."""
    return f"{event.type}.{event.stream}"


def is_kept(event: Event) -> bool:
    """Whether the journal keeps it: finals, speech events and faults.

    The others, partials, statuses and levels, are superseded by later ones.
    """
    if isinstance(event, EmotionEvent):
        return event.kind == "final"
    return not isinstance(event, StatusEvent | LevelEvent)


def is_speech(event: SpeechEvent) -> bool:
    """Whether it is about speech: a rejected sound has an end event, but had no start event."""
    return event.reason != "not_speech"


encode = msgspec.json.Encoder().encode
"""An event as UTF-8 JSON."""

_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def decode(payload: bytes | str) -> AnyEvent:
    """The event in a JSON payload; unknown fields are ignored.

    Raises ``msgspec.ValidationError`` for JSON that is no event, such as a gap, and
    ``msgspec.DecodeError`` for anything that is not JSON, not UTF-8, or nested too deep; both are
    a ``ValueError``.
    """
    try:
        return _decoder.decode(payload)
    except (UnicodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of every event, and of the gap that stands for missed ones."""
    schema = msgspec.json.schema(AnyEvent | Gap)
    del schema["discriminator"]  # OpenAPI's word, which validators of JSON Schema refuse
    for struct in get_args(AnyEvent):
        described = schema["$defs"][struct.__name__]
        for name in ("v", "epoch", "seq", "time"):  # the publisher replaces their defaults
            del described["properties"][name]["default"]
        fields = described["properties"]
        described["required"] = [name for name in fields if "default" not in fields[name]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edgeser events, version 1",
        "description": "What the daemon publishes, and what 'edgeser listen --json' prints. While "
        "`v` is 1, no field is removed or changes its meaning, but fields, types and fault codes "
        "may be added: ignore what you do not know, also an event whose `type` is none of these.",
    } | schema


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
