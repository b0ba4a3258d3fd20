"""A broker killed again and again while finals flow through the MQTT bridge: is anything lost?

python tests/trials/kill_broker.py [--finals 10000] [--kills 3] [--bridge-kills 0]
                                   [--daemon-restarts 0] [--seed 1] [--json]

A publisher with a journal publishes finals, with partials between them so that their numbers have
holes. ``edgeser bridge mqtt`` hands them on to a real mosquitto, from which a consumer with a
durable session (QoS 1) reads. Broker and bridge are killed with SIGKILL and started again, the
publisher is replaced by one with a new epoch. In the end the consumer, after dropping what it got
twice by (epoch, topic, seq), must have exactly what was published, each topic in order. Exit code 1
if not so.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import script
from edgeser.events.journal.journal import JournalPlace
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import decode, topic_of
from tests.bridges.mosquitto import OPEN, PERSISTENT, Consumer, Mosquitto
from tests.events.helpers import emotion, status

PATIENCE_S = 600.0
STREAMS = ("mic", "hall")

Key = tuple[str, str, int]


class Trial:
    """A daemon's publisher, a bridge, a broker and a consumer."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self._folder = folder
        self._rng = rng
        self.published: list[Key] = []
        self.broker = Mosquitto(folder / "mosquitto", OPEN + PERSISTENT)
        self.broker.start()
        self.consumer = Consumer(self.broker.port)
        self.broker.save()  # a broker that forgot the consumer would not queue messages for it
        self.publisher = self._publisher()
        self.bridge = self._bridge()

    def publish(self) -> None:
        """One final, mostly after a partial."""
        stream = self._rng.choice(STREAMS)
        topic = f"emotion.{stream}"
        events = [emotion(kind="partial", stream=stream)] * (self._rng.random() < 0.7)
        before = self.publisher.last_seq().get(topic, 0)
        for event in [*events, emotion(stream=stream)]:
            self.publisher.publish(event)
        number = before + len(events) + 1
        while self.publisher.last_seq().get(topic, 0) < number:
            time.sleep(0.0002)
        self.published.append((self.publisher.epoch, topic, number))

    def kill_broker(self) -> None:
        self.broker.kill()
        time.sleep(self._rng.uniform(0, 1))
        self.broker.start()

    def kill_bridge(self) -> None:
        self.bridge.kill()
        self.bridge.wait()
        self.bridge = self._bridge()

    def restart_daemon(self) -> None:
        self.publisher.close()
        self.publisher = self._publisher()

    def received(self) -> list[Key]:
        with self.consumer.changed:
            finals = [p for topic, p, _ in self.consumer.messages if topic.endswith("/final")]
        events = [decode(payload) for payload in finals]
        return [(event.epoch, topic_of(event), event.seq) for event in events]

    def await_all(self) -> None:
        """Wait until the consumer has all that was published, or time is up."""
        deadline = time.monotonic() + PATIENCE_S
        while set(self.received()) != set(self.published) and time.monotonic() < deadline:
            self.publisher.publish(status())
            time.sleep(1)

    def close(self) -> None:
        self.bridge.kill()
        self.bridge.wait()
        self.consumer.close()
        self.broker.kill()
        self.publisher.close()

    def _publisher(self) -> Publisher:
        journal = JournalPlace(self._folder / "journal.db")
        return Publisher([f"ipc://{self._folder}/events.sock"], journal=journal)

    def _bridge(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "edgeser", "bridge", "mqtt", self.broker.address),
                *("--node", "pi", "--connect", f"ipc://{self._folder}/events.sock"),
                *("--cursor", str(self._folder / "mqtt.cursor"), "--since", "all"),
            ],
            stderr=(self._folder / "bridge.log").open("ab"),
        )


def main() -> bool:
    parser = script.parser_of(__doc__, as_json=True)
    parser.add_argument("--finals", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--bridge-kills", type=int, default=0)
    parser.add_argument("--daemon-restarts", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        figures = prove(Path(folder), options)
    script.show(figures, as_json=options.json)
    return not any(figures[name] for name in ("lost", "never published", "out of order"))


def prove(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    rng = random.Random(options.seed)
    trial = Trial(folder, rng)
    actions = [trial.kill_broker] * options.kills
    actions += [trial.kill_bridge] * options.bridge_kills
    actions += [trial.restart_daemon] * options.daemon_restarts
    moments = sorted(rng.sample(range(options.finals // 20, options.finals), len(actions)))
    rng.shuffle(actions)
    due = dict(zip(moments, actions, strict=True))
    began = time.monotonic()
    try:
        for number in range(options.finals):
            if number in due:
                due[number]()
            trial.publish()
        trial.await_all()
        took_s = time.monotonic() - began
        received = trial.received()
        log = (folder / "bridge.log").read_text()
    finally:
        trial.close()
    first = list(dict.fromkeys(received))
    order: Counter[str] = Counter()
    last: dict[tuple[str, str], int] = {}
    for epoch, topic, seq in first:
        order["wrong"] += seq < last.get((epoch, topic), 0)
        last[epoch, topic] = seq
    return {
        "finals published": len(trial.published),
        "brokers killed": options.kills,
        "bridges killed": options.bridge_kills,
        "daemons restarted": options.daemon_restarts,
        "received": len(received),
        "received twice or more": len(received) - len(first),
        "lost": len(set(trial.published) - set(first)),
        "never published": len(set(first) - set(trial.published)),
        "out of order": order["wrong"],
        "lines the bridge logged": len(log.splitlines()),
        "seconds": round(took_s, 1),
    }


if __name__ == "__main__":
    script.run(main)
