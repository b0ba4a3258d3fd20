"""Home Assistant's discovery of a stream: one retained message describes its device. Pure.

The format is that of Home Assistant's MQTT device discovery
(https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload).
"""

from __future__ import annotations

from edgeser import __version__
from edgeser.bridges.mqtt.state import StreamState
from edgeser.bridges.mqtt.topics import Topics, safe_name
from edgeser.events.schema import UNKNOWN
from edgeser.model.affect import has_affect

FRESH_S = 300
"""A final older than this, delivered late after an outage, must not trigger an automation."""

_FINAL = (
    "{% set last, now_s = this.attributes, now().timestamp() %}"
    "{% if value_json.epoch == last.epoch %}{% set is_new = value_json.seq > last.seq %}"
    "{% else %}{% set is_new = not last.time or not value_json.time <= last.time <= now_s %}"
    "{% endif %}"
    "{% if is_new and now_s - value_json.time < " + str(FRESH_S) + " %}"
    "{{ dict(value_json, event_type=value_json.label) | to_json }}{% endif %}"
)
"""Template by which Home Assistant turns a final into an event; empty for old and repeated finals.

``this`` is the event before; for the first it has no epoch, seq or time. A final of another run
that is no later than ``this`` is a repetition, unless the clock has been set back since.
"""

Described = dict[str, object]


def device_id(node: str, stream: str) -> str:
    """The device of a stream, in Home Assistant's registry and in the topic of its discovery."""
    return f"edgeser_{safe_name(node)}_{safe_name(stream)}"


def discovery_topic(prefix: str, node: str, stream: str) -> str:
    """Where the description of a stream is retained."""
    return f"{prefix}/device/{device_id(node, stream)}/config"


def discovery(topics: Topics, stream: str, state: StreamState) -> Described:
    """The description of a stream whose model's labels are known."""
    device = device_id(topics.node, stream)
    where = topics.state(stream)
    options = [*state.labels, UNKNOWN]
    components: dict[str, Described] = {
        "emotion": {
            "p": "sensor",
            "name": "Emotion",
            "device_class": "enum",
            "options": options,
            "icon": "mdi:emoticon-outline",
        },
        "confidence": {
            "p": "sensor",
            "name": "Confidence",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "suggested_display_precision": 0,
        },
        "speech": {"p": "binary_sensor", "name": "Speech", "device_class": "sound"},
        "problem": {
            "p": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "entity_category": "diagnostic",
        },
        "muted": {
            "p": "binary_sensor",
            "name": "Muted",
            "icon": "mdi:microphone-off",
            "entity_category": "diagnostic",
        },
        "final": {
            "p": "event",
            "name": "Remark",
            "icon": "mdi:account-voice",
            "event_types": options,
            "state_topic": topics.final(stream),
            "value_template": _FINAL,
        },
    }
    dimensions = {"valence": "mdi:thumbs-up-down-outline", "arousal": "mdi:pulse"}
    for dimension, icon in dimensions.items():
        components[dimension] = {
            "p": "sensor",
            "name": dimension.capitalize(),
            "icon": icon,
            "state_class": "measurement",
            "suggested_display_precision": 2,
        }
    for key, component in components.items():
        component["unique_id"] = f"{device}_{key}"
        component["qos"] = 1  # it is not inherited from the device
        component.setdefault("state_topic", where)
        component.setdefault("value_template", "{{ value_json." + key + " }}")
    if not has_affect(state.labels):
        components |= {dimension: {"p": "sensor"} for dimension in dimensions}  # removes it
    origin = {"name": "edgeser", "sw_version": __version__}
    model = f"{state.model.name} {state.model.version}" if state.model else "unknown"
    return {
        "device": {
            "identifiers": [device],
            "name": f"{topics.node} {stream}",
            "manufacturer": "edgeser",
            "model": model,
            "sw_version": __version__,
        },
        "origin": origin,
        "components": components,
        "availability": [
            {"topic": topics.availability},
            {"topic": topics.stream_availability(stream)},
        ],
        "availability_mode": "all",
    }
