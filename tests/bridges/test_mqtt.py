"""``edgeser bridge mqtt`` against a real broker."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from edgeser.cli import main
from edgeser.events.journal.journal import JournalPlace
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import Event, decode
from tests.bridges.mosquitto import OPEN, PATIENCE_S, Consumer, Mosquitto
from tests.events.helpers import emotion, fault, speech, status

LABELS = ["angry", "happy", "neutral", "sad"]
ROOT = "edgeser/pi"
DEVICE = "homeassistant/device/edgeser_pi_mic/config"


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; fail when it does not come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.1)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def consumer(broker: Mosquitto) -> Iterator[Consumer]:
    consumer = Consumer(broker.port)
    yield consumer
    consumer.close()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """The daemon's publisher with a journal."""
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        journal = JournalPlace(Path(folder) / "journal.db")
        with Publisher([f"ipc://{folder}/events.sock"], journal=journal) as publisher:
            yield publisher


class Bridge:
    """A bridge in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> list[str]:
        return self._log.read_text().splitlines()

    def wait_for_line(self, part: str) -> str:
        """The first line of the log with this in it."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            if found := [line for line in self.log if part in line]:
                return found[0]
            assert time.monotonic() < deadline, (part, self.log)
            time.sleep(0.05)


@contextmanager
def bridging(
    publisher: Publisher, broker: str, folder: Path, *options: str, limit_bytes: int | None = None
) -> Iterator[Bridge]:
    log = folder / "bridge.log"
    command = [sys.executable, "-m", "edgeser", "bridge", "mqtt", broker, "--node", "pi"]
    command += ["--connect", publisher.endpoints[0], "--cursor", str(folder / "mqtt.cursor")]
    if limit_bytes is not None:
        command = ["prlimit", f"--fsize={limit_bytes}", *command]
    with log.open("ab") as errors:
        process = subprocess.Popen([*command, *options], stderr=errors)
    try:
        yield Bridge(process, log)
    finally:
        process.kill()
        process.wait()


def say(publisher: Publisher, *events: Event) -> None:
    """Publish events, then how the daemon is: after a while the bridge is up to date."""
    for event in events:
        publisher.publish(event)
    publisher.publish(msgspec.structs.replace(status(), labels=LABELS))


def alive(publisher: Publisher, consumer: Consumer) -> None:
    """Publish statuses until the bridge is seen to hear them."""

    def heard() -> bool:
        say(publisher)
        return b"online" in consumer.payloads(f"{ROOT}/mic/availability")

    until(heard)


def test_events_arrive_as_published_and_the_state_is_retained(
    publisher: Publisher, broker: Mosquitto, consumer: Consumer, tmp_path: Path
) -> None:
    with bridging(publisher, broker.address, tmp_path):
        alive(publisher, consumer)
        say(publisher, speech(), emotion(kind="partial"), emotion(), fault())
        final = decode(consumer.wait_for(f"{ROOT}/mic/final"))
        assert (final.epoch, final.seq) == (publisher.epoch, 2)
        assert decode(consumer.wait_for(f"{ROOT}/mic/speech")).seq == 1
        assert decode(consumer.wait_for(f"{ROOT}/mic/fault")).seq == 1
        until(lambda: b'"emotion":"happy"' in consumer.payloads(f"{ROOT}/mic/state")[-1])
        state = json.loads(consumer.payloads(f"{ROOT}/mic/state")[-1])
        assert state["confidence"] == 85.0
        assert state["problem"] == "OFF"
        publisher.publish(msgspec.structs.replace(status(), state="no_audio"))
        until(lambda: b'"problem":"ON"' in consumer.payloads(f"{ROOT}/mic/state")[-1])
        late = Consumer(broker.port, client_id="late")
        late.wait_for(f"{ROOT}/mic/state")
        late.wait_for(f"{ROOT}/cursor")
        late.close()
        told = {topic for topic, _, retained in late.messages if retained}
        assert f"{ROOT}/mic/final" not in told


def test_home_assistant_is_told_of_each_stream_and_again_at_its_birth(
    publisher: Publisher, broker: Mosquitto, consumer: Consumer, tmp_path: Path
) -> None:
    with bridging(publisher, broker.address, tmp_path):
        alive(publisher, consumer)
        described = json.loads(consumer.wait_for(DEVICE))
        components = described["components"]
        assert set(components) == {"emotion", "confidence", "speech", "problem", "final"}
        assert components["emotion"]["options"] == [*LABELS, "unknown"]
        assert components["final"]["event_types"] == [*LABELS, "unknown"]
        assert described["origin"]["name"] == "edgeser"
        consumer.publish("homeassistant/status", "online")
        consumer.wait_for(DEVICE, count=2)
        states = len(consumer.payloads(f"{ROOT}/mic/state"))
        assert states >= 1
        until(lambda: len(consumer.payloads(f"{ROOT}/mic/state")) > 1)


def test_dimensions_are_described_when_the_model_gives_them(
    publisher: Publisher, broker: Mosquitto, consumer: Consumer, tmp_path: Path
) -> None:
    with bridging(publisher, broker.address, tmp_path):
        alive(publisher, consumer)
        say(publisher, msgspec.structs.replace(emotion(), valence=0.25, arousal=-0.5))
        described = json.loads(consumer.wait_for(DEVICE, count=2))
        assert {"valence", "arousal"} <= set(described["components"])
        until(lambda: b'"valence":0.25' in consumer.payloads(f"{ROOT}/mic/state")[-1])


def test_what_is_not_there_is_said_to_be_unavailable(
    publisher: Publisher, broker: Mosquitto, consumer: Consumer, tmp_path: Path
) -> None:
    with bridging(publisher, broker.address, tmp_path) as bridge:
        alive(publisher, consumer)
        consumer.wait_for(f"{ROOT}/availability", b"online")
        publisher.publish(msgspec.structs.replace(status(), state="stopping"))
        consumer.wait_for(f"{ROOT}/mic/availability", b"offline")
        bridge.process.kill()
        consumer.wait_for(f"{ROOT}/availability", b"offline")  # the last will
    with bridging(publisher, broker.address, tmp_path) as bridge:
        consumer.wait_for(f"{ROOT}/availability", b"online", count=2)
        bridge.process.send_signal(signal.SIGTERM)
        assert bridge.process.wait(PATIENCE_S) == 0
        consumer.wait_for(f"{ROOT}/availability", b"offline", count=2)


def test_stream_names_that_no_topic_may_have_are_made_safe(
    publisher: Publisher, broker: Mosquitto, consumer: Consumer, tmp_path: Path
) -> None:
    with bridging(publisher, broker.address, tmp_path, "--discovery", "off"):
        alive(publisher, consumer)
        names = ["a/b", "a b", "a+#", "küche", "\x00", "$SYS"]
        say(publisher, *[emotion(stream=name) for name in names])

        def finals() -> dict[str, str]:
            told = [(t, p) for t, p, _ in consumer.messages if t.endswith("/final")]
            return {topic: decode(payload).stream for topic, payload in told}

        until(lambda: len(finals()) == len(names))
        assert sorted(finals().values()) == sorted(names)
        for topic in finals():
            assert all(
                part.replace("-", "").replace("_", "").isalnum() for part in topic.split("/")
            )
            assert topic.isascii()
    assert not [topic for topic, _, _ in consumer.messages if topic.startswith("homeassistant")]


def test_a_broker_that_is_away_is_waited_for_said_once_and_caught_up(
    publisher: Publisher, tmp_path: Path
) -> None:
    broker = Mosquitto(tmp_path / "mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        metrics = f"127.0.0.1:{probe.getsockname()[1]}"
    os.environ["EDGESER_MQTT_METRICS"] = metrics
    try:
        with bridging(publisher, broker.address, tmp_path, "--since", "all") as bridge:
            assert "Connection refused" in bridge.wait_for_line("WARNING")
            say(publisher, *[emotion() for _ in range(300)])
            until(lambda: figure(metrics, "edgeser_mqtt_connected") == 0)
            time.sleep(4)  # it tries a second and a third time
            assert len(bridge.log) == 1
            broker.start()
            consumer = Consumer(broker.port)
            try:
                until(lambda: len(set(consumer.payloads(f"{ROOT}/mic/final"))) == 300)
                until(lambda: figure(metrics, "edgeser_mqtt_events_total") == 300)
            finally:
                consumer.close()
            assert figure(metrics, "edgeser_mqtt_connected") == 1
            assert [line for line in bridge.log if "Traceback" in line] == []
    finally:
        del os.environ["EDGESER_MQTT_METRICS"]
        broker.kill()


def figure(listen: str, name: str) -> float | None:
    try:
        with urllib.request.urlopen(f"http://{listen}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), None)


def test_a_message_that_is_too_large_is_left_out_and_said_once(
    publisher: Publisher, tmp_path: Path
) -> None:
    broker = Mosquitto(tmp_path / "mosquitto", f"{OPEN}message_size_limit 2000\n")
    broker.start()
    consumer = Consumer(broker.port)
    try:
        with bridging(publisher, broker.address, tmp_path) as bridge:
            alive(publisher, consumer)
            say(publisher, fault("x" * 5000), fault("x" * 5000), fault("short"))
            assert b"short" in consumer.wait_for(f"{ROOT}/mic/fault")
            bridge.wait_for_line("does not take a message")
            lines = bridge.log
            assert len([line for line in lines if "does not take" in line]) == 1, lines
            assert len(lines) <= 8, lines
    finally:
        consumer.close()
        broker.kill()


def test_a_broker_that_says_how_much_it_takes_is_not_sent_more(
    publisher: Publisher, tmp_path: Path
) -> None:
    broker = Mosquitto(tmp_path / "mosquitto", f"{OPEN}max_packet_size 3000\n")
    broker.start()
    consumer = Consumer(broker.port)
    try:
        with bridging(publisher, broker.address, tmp_path) as bridge:
            alive(publisher, consumer)
            say(publisher, fault("x" * 5000), fault("short"))
            assert b"short" in consumer.wait_for(f"{ROOT}/mic/fault")
            assert "bytes: too large" in bridge.wait_for_line("does not take a message")
            assert len(bridge.log) == 2, bridge.log
    finally:
        consumer.close()
        broker.kill()


def passwords(folder: Path) -> str:
    """Settings of a broker that knows one user, with the password ``right``."""
    file = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(file), "edgeser", "right"], check=True)
    return f"allow_anonymous false\npassword_file {file}\n"


def test_a_wrong_password_is_one_line_and_the_right_one_works(
    publisher: Publisher, tmp_path: Path
) -> None:
    broker = Mosquitto(tmp_path / "mosquitto", passwords(tmp_path))
    broker.start()
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    login = ("--user", "edgeser", "--password-file", str(secret))
    consumer = Consumer(broker.port, user="edgeser", password="right")
    try:
        with bridging(publisher, broker.address, tmp_path, *login) as bridge:
            line = bridge.wait_for_line("WARNING")
            assert "Not authorized; see mqtt.user, mqtt.password_file" in line
            time.sleep(3)
            assert len(bridge.log) == 1
            assert bridge.process.poll() is None
        secret.write_text("right\n")
        with bridging(publisher, broker.address, tmp_path, *login):
            alive(publisher, consumer)
    finally:
        consumer.close()
        broker.kill()


def test_a_broker_that_lets_us_write_nothing_is_one_line(
    publisher: Publisher, tmp_path: Path
) -> None:
    (tmp_path / "acl").write_text("topic read #\n")
    broker = Mosquitto(tmp_path / "mosquitto", f"{OPEN}acl_file {tmp_path}/acl\n")
    broker.start()
    try:
        with bridging(publisher, broker.address, tmp_path) as bridge:
            assert "Not authorized" in bridge.wait_for_line("refuses messages")
            time.sleep(3)
            assert len(bridge.log) == 1, bridge.log
    finally:
        broker.kill()


def certificates(folder: Path) -> None:
    """A CA, a certificate of 127.0.0.1 that it signed, and a CA that signed nothing."""
    for name in ("ca", "other"):
        openssl(
            folder,
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"),
            *("-addext", "keyUsage=critical,keyCertSign"),
        )
    openssl(
        folder,
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=broker"),
        *("-keyout", "broker.key", "-out", "broker.csr"),
    )
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(
        folder,
        *("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-CAcreateserial", "-days", "2", "-extfile", "extensions", "-out", "broker.pem"),
    )


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def test_tls_is_checked_and_a_wrong_ca_is_one_line(publisher: Publisher, tmp_path: Path) -> None:
    certificates(tmp_path)
    broker = Mosquitto(
        tmp_path / "mosquitto",
        f"{OPEN}certfile {tmp_path}/broker.pem\nkeyfile {tmp_path}/broker.key\n",
    )
    broker.start()
    try:
        trusted = ("--tls", "--ca", str(tmp_path / "ca.pem"))
        with bridging(publisher, broker.address, tmp_path, *trusted) as bridge:
            bridge.wait_for_line("connected")
        (tmp_path / "bridge.log").unlink()
        wrong = ("--tls", "--ca", str(tmp_path / "other.pem"))
        with bridging(publisher, broker.address, tmp_path, *wrong) as bridge:
            line = bridge.wait_for_line("its certificate is not accepted")
            assert "name the CA that signed it with --ca" in line
            time.sleep(3)
            assert len(bridge.log) == 1, bridge.log
    finally:
        broker.kill()


def test_a_full_disk_for_the_cursor_stops_nothing(
    publisher: Publisher, broker: Mosquitto, consumer: Consumer, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the disk: it fails in the same place."""
    (tmp_path / "here").mkdir()
    with bridging(publisher, broker.address, tmp_path / "here", limit_bytes=300) as bridge:
        alive(publisher, consumer)
        names = [f"stream-{i}-with-a-long-name" for i in range(20)]
        say(publisher, *[emotion(stream=name) for name in names])
        consumer.wait_for(f"{ROOT}/{names[-1]}/final")
        bridge.wait_for_line("cannot be written: File too large; events go on")
        say(publisher, *[emotion(stream=name) for name in names])
        consumer.wait_for(f"{ROOT}/{names[-1]}/final", count=2)
        assert len([line for line in bridge.log if "cannot be written" in line]) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "mqtt.broker: no broker is named; edgeser bridge mqtt HOST"),
        (["pi/x"], "broker 'pi/x': expected HOST or HOST:PORT"),
        (["pi:99999"], "broker 'pi:99999': expected HOST or HOST:PORT"),
        (["pi", "--node", "n" * 200], "mqtt.node: expected at most 120 printable characters"),
        (["pi", "--discovery", "home/#"], "mqtt.discovery: expected at most 200 printable"),
        (["pi", "--ca", "/nowhere"], "mqtt.ca: the broker is reached without TLS"),
        (["pi", "--tls", "--ca", "/nowhere"], "CA file /nowhere: No such file"),
        (["pi", "--password-file", "/nowhere"], "mqtt.password_file: there is no user"),
        (["pi", "--user", "u", "--password-file", "/nowhere"], "password file /nowhere: No such"),
        (["pi", "--cursor", "/proc/nothing"], "cursor /proc/nothing"),
        (["pi", "--since", "x:y"], "position 'x:y'"),
        (["pi", "--connect", "pi"], "endpoint 'pi'"),
    ],
)
def test_what_cannot_work_is_one_line(
    options: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    done = CliRunner().invoke(main, ["bridge", "mqtt", *options])
    assert done.exit_code == 2, done
    assert told in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
