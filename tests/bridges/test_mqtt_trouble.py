"""``edgeser bridge mqtt`` against a real broker: what is wrong is said in one line."""

from __future__ import annotations

import os
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeser.bridges.mqtt.address import Broker
from edgeser.bridges.mqtt.broker import MAX_PACKET_BYTES, BrokerError, Connection
from edgeser.cli import main
from edgeser.events.publish.publisher import Publisher
from tests.bridges.commands import PATIENCE_S, until
from tests.bridges.mosquitto import OPEN, Consumer, Mosquitto, passwords
from tests.bridges.mqtt_bridge import ROOT, alive, say, to_mqtt
from tests.certificates import certificates
from tests.events.helpers import emotion, fault
from tests.ports import free_port


def test_a_broker_that_is_away_is_waited_for_said_once_and_caught_up(
    publisher: Publisher, tmp_path: Path
) -> None:
    broker = Mosquitto(tmp_path / "mosquitto")
    metrics = f"127.0.0.1:{free_port()}"
    os.environ["EDGESER_MQTT_METRICS"] = metrics
    try:
        with to_mqtt(publisher, broker.address, tmp_path, "--since", "all") as bridge:
            assert "Connection refused" in bridge.says("WARNING")
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
        with urllib.request.urlopen(f"http://{listen}/metrics", timeout=PATIENCE_S) as answer:
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
        with to_mqtt(publisher, broker.address, tmp_path) as bridge:
            alive(publisher, consumer)
            say(publisher, fault("x" * 5000), fault("x" * 5000), fault("short"))
            assert b"short" in consumer.wait_for(f"{ROOT}/mic/fault")
            bridge.says("refuses a message")
            lines = bridge.log
            assert len([line for line in lines if "refuses a message" in line]) == 1, lines
            connections = sum(line.endswith(": connected") for line in lines)
            assert len(lines) <= 1 + 3 * connections, lines  # that it was made, began anew, is lost
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
        with to_mqtt(publisher, broker.address, tmp_path) as bridge:
            alive(publisher, consumer)
            say(publisher, fault("x" * 5000), fault("short"))
            assert b"short" in consumer.wait_for(f"{ROOT}/mic/fault")
            assert "bytes: too large" in bridge.says("refuses a message")
            assert len(bridge.log) == 2, bridge.log
    finally:
        consumer.close()
        broker.kill()


def test_what_others_publish_where_the_bridge_reads_does_not_fill_its_memory(
    broker: Mosquitto, consumer: Consumer
) -> None:
    topic = "homeassistant/status"
    bridge = Connection(Broker("127.0.0.1", broker.port), "bridge", [topic])
    received: list[bytes] = []

    def is_received(payload: str) -> bool:
        consumer.publish(topic, payload)
        received.extend(message.payload for message in bridge.messages())
        return payload.encode() in received

    try:
        until(lambda: is_received("offline"))
        consumer.publish(topic, "x" * (MAX_PACKET_BYTES + 1))
        until(lambda: is_received("online"))
        assert set(received) == {b"offline", b"online"}
    finally:
        bridge.close()


def test_a_broker_that_sends_what_cannot_be_read_is_no_connected_one() -> None:
    connected = threading.Event()
    accepted, no_text = b"\x20\x03\x00\x00\x00", b"\x30\x06\x00\x02\xff\xfe\x00x"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as client:
                client.sendall(accepted)
                assert connected.wait(PATIENCE_S)
                client.sendall(no_text)
                while client.recv(1000):
                    pass

        serving = threading.Thread(target=serve)
        serving.start()
        connection = Connection(Broker("127.0.0.1", listener.getsockname()[1]), "bridge")
        connected.set()

        def trouble() -> str:
            try:
                connection.acknowledged()
            except BrokerError as error:
                return str(error)
            return ""

        until(trouble)
        assert "it sent what the MQTT library cannot read" in trouble()
        connection.close()
        serving.join()


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
        with to_mqtt(publisher, broker.address, tmp_path, *login) as bridge:
            line = bridge.says("WARNING")
            assert "Not authorized; see mqtt.user, mqtt.password_file" in line
            time.sleep(3)
            assert len(bridge.log) == 1
            assert bridge.process.poll() is None
        secret.write_text("right\n")
        with to_mqtt(publisher, broker.address, tmp_path, *login):
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
        with to_mqtt(publisher, broker.address, tmp_path) as bridge:
            assert "Not authorized" in bridge.says("refuses messages")
            time.sleep(3)
            assert len(bridge.log) == 1, bridge.log
    finally:
        broker.kill()


def test_tls_is_checked_and_a_wrong_ca_is_one_line(publisher: Publisher, tmp_path: Path) -> None:
    cert, key = certificates(tmp_path / "right")
    other, _ = certificates(tmp_path / "other")
    broker = Mosquitto(tmp_path / "mosquitto", f"{OPEN}certfile {cert}\nkeyfile {key}\n")
    address = f"localhost:{broker.port}"
    broker.start()
    try:
        trusted = ("--tls", "--ca", str(cert))
        with to_mqtt(publisher, address, tmp_path, *trusted) as bridge:
            bridge.says("connected")
        (tmp_path / "bridge.log").unlink()
        wrong = ("--tls", "--ca", str(other))
        with to_mqtt(publisher, address, tmp_path, *wrong) as bridge:
            line = bridge.says("its certificate is not accepted")
            assert "name the CA that signed it with --ca" in line
            time.sleep(3)
            assert len(bridge.log) == 1, bridge.log
    finally:
        broker.kill()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "mqtt.broker: no broker is named; edgeser bridge mqtt HOST"),
        (["pi/x"], "broker 'pi/x': expected HOST or HOST:PORT"),
        (["pi:99999"], "broker 'pi:99999': expected HOST or HOST:PORT"),
        (["::1"], "broker '::1': expected HOST or HOST:PORT; e.g. homeassistant.local, or [::1]"),
        (["pi", "--node", "n" * 200], "mqtt.node: expected at most 120 printable characters"),
        (["pi", "--discovery", "home/#"], "mqtt.discovery: expected at most 200 printable"),
        (["pi", "--ca", "/nowhere"], "mqtt.ca: the broker is reached without TLS"),
        (["pi", "--tls", "--ca", "/nowhere"], "CA file /nowhere: No such file"),
        (["pi", "--password-file", "/nowhere"], "mqtt.password_file: there is no user"),
        (["pi", "--user", "u", "--password-file", "/nowhere"], "password file /nowhere: No such"),
        (["pi", "--cursor", "/proc/nothing"], "cursor /proc/nothing"),
        (["pi", "--since", "yesterday"], "since 'yesterday': neither a time nor a position"),
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


def test_a_cursor_that_holds_something_else_is_refused_before_any_broker_is_asked(
    tmp_path: Path,
) -> None:
    (cursor := tmp_path / "cursor").write_text("x")
    done = CliRunner().invoke(main, ["bridge", "mqtt", "pi.invalid", "--cursor", str(cursor)])
    assert done.exit_code == 2, done
    assert f"cursor {cursor}: holds no position" in done.stderr


@pytest.mark.parametrize("kind", ["mqtt", "nats"])
def test_settings_of_a_service_mean_its_daemon(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeser.paths.SERVICE_SETTINGS", tmp_path / "edgeser.toml")
    (settings := tmp_path / "kitchen.toml").touch()
    wrong = ["--key", "any", "--server-key", "any"]  # of which the endpoint is said
    done = CliRunner().invoke(main, ["bridge", kind, "pi", "--settings", str(settings), *wrong])
    assert "endpoint 'ipc:///run/edgeser/kitchen/events.sock': keys are for TCP" in done.stderr
