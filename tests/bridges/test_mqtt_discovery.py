"""How a stream is described to Home Assistant. ``make home-assistant-check`` tries the real one."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime
from types import SimpleNamespace

import jinja2
import msgspec

from edgeser.bridges.mqtt.discovery import FRESH_S, discovery
from edgeser.bridges.mqtt.state import StreamState
from edgeser.bridges.mqtt.topics import Topics
from tests.bridges.mqtt_bridge import LABELS
from tests.events.helpers import emotion, status


def described(labels: Sequence[str] = LABELS) -> dict[str, dict[str, object]]:
    """The components of the device once a status has come."""
    state = StreamState()
    state.apply(msgspec.structs.replace(status(), labels=list(labels)))
    components = discovery(Topics("edgeser", "pi"), "mic", state)["components"]
    assert isinstance(components, dict)
    return components


def remark(seq: int, time: float, epoch: str = "e1") -> dict[str, object]:
    final = msgspec.structs.replace(emotion(), seq=seq, time=time, epoch=epoch)
    return json.loads(msgspec.json.encode(final))


def fires(final: dict[str, object], before: dict[str, object] | None = None) -> bool:
    """Whether Home Assistant makes an event of a final, after one before it."""
    environment = jinja2.Environment()
    environment.filters["to_json"] = json.dumps
    template = described()["final"]["value_template"]
    this = SimpleNamespace(attributes={"device_class": None, **(before or {})})
    made = environment.from_string(template).render(value_json=final, this=this, now=datetime.now)
    assert made == "" or json.loads(made) == final | {"event_type": final["label"]}
    return bool(made)


def test_a_final_fires_once_and_while_it_is_fresh() -> None:
    now = time.time()
    assert fires(remark(3, now))
    assert not fires(remark(3, now - FRESH_S - 1))
    before = remark(3, now)
    assert fires(remark(4, now), before)
    assert not fires(remark(3, now), before)
    assert not fires(remark(2, now), before)
    after_a_restart = remark(1, now + 0.1, epoch="e2")
    assert fires(after_a_restart, before)


def test_a_final_of_the_run_before_does_not_fire_again() -> None:
    """After a crash of the broker, and a restart of the daemon, it is sent once more."""
    now = time.time()
    before = remark(1, now - 1, epoch="e2")
    assert not fires(remark(3, now - 60), before)
    assert fires(remark(1, now, epoch="e3"), before)
    ahead = remark(1, now + 3600, epoch="e2")  # the device's clock was
    assert fires(remark(1, now, epoch="e3"), ahead)


def test_each_component_asks_for_qos_1() -> None:
    assert {component["qos"] for component in described(["happy"]).values()} == {1}


def test_valence_and_arousal_are_known_from_the_labels_before_anybody_speaks() -> None:
    components = described(["happy", "sad"])
    assert components["valence"]["unique_id"] == "edgeser_pi_mic_valence"
    assert components["arousal"]["unique_id"] == "edgeser_pi_mic_arousal"


def test_valence_and_arousal_are_removed_when_a_label_has_no_place() -> None:
    components = described(["happy", "motherese"])
    assert components["valence"] == components["arousal"] == {"p": "sensor"}


def test_no_entity_has_attributes_which_would_each_be_rows_of_its_history() -> None:
    assert not [key for component in described().values() for key in component if "json" in key]
