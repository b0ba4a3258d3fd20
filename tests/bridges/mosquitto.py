"""A real mosquitto, which may be killed and started again, and a consumer of its messages."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.patience import PATIENCE_S
from tests.ports import free_port

PROGRAM = shutil.which("mosquitto") or "/usr/sbin/mosquitto"

PERSISTENT = "persistence true\nautosave_interval 2\nmax_queued_messages 0\n"
OPEN = "allow_anonymous true\n"


class Mosquitto:
    """A broker at a port of its own on this machine."""

    def __init__(self, folder: Path, settings: str = OPEN) -> None:
        """``settings``: lines of mosquitto.conf that follow the listener's."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.file = folder / "mosquitto.conf"
        self.file.write_text(
            f"user root\npersistence_location {folder}/\nlog_dest file {folder}/log\n"
            f"listener {self.port} 127.0.0.1\n{settings}"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self._process = subprocess.Popen([PROGRAM, "-c", str(self.file)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "mosquitto takes no connections"
                time.sleep(0.05)

    def save(self) -> None:
        """Wait until its sessions and retained messages are on its disk."""
        assert self._process is not None
        database = self.folder / "mosquitto.db"
        before = database.stat().st_mtime_ns if database.exists() else 0
        deadline = time.monotonic() + PATIENCE_S
        while not database.exists() or database.stat().st_mtime_ns == before:
            self._process.send_signal(signal.SIGUSR1)
            assert time.monotonic() < deadline, "mosquitto does not save"
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def passwords(folder: Path) -> str:
    """Settings of a broker that knows one user, with the password ``right``."""
    file = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(file), "edgeser", "right"], check=True)
    return f"allow_anonymous false\npassword_file {file}\n"


class Consumer:
    """Reads all topics below a prefix with a session that the broker keeps."""

    def __init__(
        self,
        port: int,
        topics: str = "edgeser/#",
        *,
        client_id: str = "consumer",
        user: str | None = None,
        password: str = "",
    ) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self.changed = threading.Condition()
        self._topics = topics
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv5)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        if user is not None:
            self._client.username_pw_set(user, password)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", port, clean_start=False, properties=properties)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE_S)

    def payloads(self, topic: str) -> list[bytes]:
        """The payloads received at a topic so far."""
        with self.changed:
            return [payload for where, payload, _ in self.messages if where == topic]

    def wait_for(self, topic: str, payload: bytes | None = None, count: int = 1) -> bytes:
        """The last payload at a topic, after ``count`` messages (with this payload, if given)."""

        def found() -> list[bytes]:
            return [
                told
                for where, told, _ in self.messages
                if where == topic and payload in (None, told)
            ]

        with self.changed:
            held = self.changed.wait_for(lambda: len(found()) >= count, PATIENCE_S)
            assert held, (topic, payload, self.messages[-20:])
            return found()[-1]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self,
        client: Client,
        _data: object,
        _flags: ConnectFlags,
        _reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        client.subscribe([(self._topics, 1), ("homeassistant/#", 1)])

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        with self.changed:
            self.messages.append((message.topic, message.payload, message.retain))
            self.changed.notify_all()
