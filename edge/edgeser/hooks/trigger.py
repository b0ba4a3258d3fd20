"""Which events a hook runs on, and with which arguments. Pure: no socket, no process, no clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import msgspec

from edgeser.errors import UserError
from edgeser.events.schema import (
    EMOTION_PREFIX,
    FAULT_PREFIX,
    SPEECH_PREFIX,
    STATUS_PREFIX,
    UNKNOWN,
    EmotionEvent,
    Event,
    FaultEvent,
    SpeechEvent,
    StatusEvent,
    is_speech,
)

What: TypeAlias = Literal["final", "partial", "speech", "fault"]

TOPICS: dict[What, str] = {
    "final": EMOTION_PREFIX,
    "partial": EMOTION_PREFIX,
    "speech": SPEECH_PREFIX,
    "fault": FAULT_PREFIX,
}
"""The topic prefix of each kind of event."""

_TYPES: dict[What, type[Event]] = {
    "final": EmotionEvent,
    "partial": EmotionEvent,
    "speech": SpeechEvent,
    "fault": FaultEvent,
}
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Trigger:
    """Decides which events run the program.

    ``labels``: of emotions, any when empty; ``above``: least confidence of an emotion;
    ``streams``: any when empty; ``state``: ``start`` or ``end`` of speech, either when None.
    Raises UserError for a condition that such events cannot meet.
    """

    what: What
    labels: frozenset[str] = frozenset()
    above: float = 0.0
    streams: frozenset[str] = frozenset()
    state: str | None = None

    def __post_init__(self) -> None:
        if (self.labels or self.above) and self.what not in ("final", "partial"):
            raise UserError(
                f"--label and --above: a {self.what} event has neither label nor confidence",
                "use them with 'final' or 'partial'",
            )
        if self.state and self.what != "speech":
            raise UserError(f"--state: a {self.what} event has none", "use it with 'speech'")

    def matches(self, event: object) -> bool:
        """Whether this is such an event."""
        if not isinstance(event, _TYPES[self.what]):
            return False
        if self.streams and event.stream not in self.streams:
            return False
        if isinstance(event, EmotionEvent):
            wanted = not self.labels or event.label in self.labels
            return event.kind == self.what and wanted and event.confidence >= self.above
        if isinstance(event, SpeechEvent):
            return is_speech(event) and self.state in (None, event.state)
        return True

    def labels_missing(self, status: StatusEvent) -> str | None:
        """A message about wanted labels that the daemon's model does not have; None if it has all,
        or if an older daemon does not report its labels."""
        missing = sorted(self.labels - {*status.labels, UNKNOWN})
        if not missing or not status.labels:
            return None
        named = ", ".join(repr(label) for label in missing)
        return f"no label {named} in {status.model.name}; it has {', '.join(status.labels)}"

    def streams_missing(self, status: StatusEvent) -> str | None:
        """A message about wanted streams that the daemon does not have; None if it has all."""
        statuses = [topic for topic in status.last_seq if topic.startswith(STATUS_PREFIX)]
        there = {topic.removeprefix(STATUS_PREFIX) for topic in statuses}
        missing = sorted(self.streams - there)
        if not missing:
            return None
        named = ", ".join(repr(stream) for stream in missing)
        return f"no stream {named} so far; there is {', '.join(sorted(there))}"


class HookThrottle:
    """Lets one event per stream through every ``every_s`` seconds."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._passed_at: dict[str, float] = {}

    def passes(self, stream: str, now_s: float) -> bool:
        """Whether an event of this stream may run the program now; if so, the next waits."""
        passed_at = self._passed_at.get(stream)
        if passed_at is not None and now_s - passed_at < self._every_s:
            return False
        self._passed_at[stream] = now_s
        return True


def check_placeholders(command: Sequence[str], what: What) -> None:
    """Raises UserError if the command names a field that such an event does not have."""
    there = {field.encode_name for field in msgspec.structs.fields(_TYPES[what])} | {"type"}
    for name in _PLACEHOLDER.findall(" ".join(command)):
        if name not in there:
            raise UserError(
                f"{{{name}}}: a {what} event has no such field",
                f"there is {', '.join(sorted(there))}",
            )


def arguments(command: Sequence[str], event: Event) -> list[str]:
    """The command with each ``{field}`` replaced by that field of the event.

    Text is put in as it is, numbers as JSON writes them. No shell sees any of it.
    """
    fields = msgspec.to_builtins(event)

    def value(match: re.Match[str]) -> str:
        found = fields[match[1]]
        text = found if isinstance(found, str) else msgspec.json.encode(found).decode()
        return text.replace("\0", "")

    return [_PLACEHOLDER.sub(value, word) for word in command]


KINDS: tuple[What, ...] = get_args(What)
