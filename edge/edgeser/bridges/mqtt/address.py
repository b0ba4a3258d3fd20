"""Where an MQTT broker is, and who we are to it. Needs no MQTT library."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgeser.errors import UserError

if TYPE_CHECKING:
    from edgeser.settings.schema import MqttSettings


class Broker(msgspec.Struct, frozen=True):
    """Where the broker is, and who we are to it."""

    host: str
    port: int
    tls: bool = False
    ca: str | None = None
    user: str | None = None
    password_file: str | None = None

    def __str__(self) -> str:
        return f"broker {self.host}:{self.port}"

    def password(self) -> str | None:
        """The first line of the password's file. Raises UserError."""
        if self.password_file is None:
            return None
        try:
            text = Path(self.password_file).expanduser().read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "no UTF-8"
            raise UserError(
                f"password file {self.password_file}: {why}",
                "name one that this user may read, with the password in its first line",
            ) from error
        return text.partition("\n")[0].rstrip("\r")

    def tls_context(self) -> ssl.SSLContext | None:
        """What the broker's certificate is checked with. Raises UserError."""
        if not self.tls:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca and str(Path(self.ca).expanduser()))
        except (OSError, ssl.SSLError) as error:
            why = error.strerror if isinstance(error, FileNotFoundError) else "no certificates"
            raise UserError(f"CA file {self.ca}: {why}", "name a PEM file with --ca") from error


def from_settings(mqtt: MqttSettings) -> Broker:
    """The broker that the settings name. Raises UserError where they name none."""
    if mqtt.broker is None:
        raise UserError(
            "mqtt.broker: no broker is named",
            "edgeser bridge mqtt HOST, or set it in the [mqtt] table of the settings",
        )
    host, port = parse_broker(mqtt.broker, tls=mqtt.tls)
    return Broker(host, port, mqtt.tls, mqtt.ca, mqtt.user, mqtt.password_file)


def parse_broker(text: str, *, tls: bool) -> tuple[str, int]:
    """Host and port of ``HOST[:PORT]``; IPv6 in brackets. Raises UserError."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, "8883" if tls else "1883"
    host = host.removeprefix("[").removesuffix("]")
    fits = port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= 65_535
    if not host or any(character in host for character in "/ @") or not fits:
        raise UserError(f"broker {text!r}: expected HOST or HOST:PORT, e.g. homeassistant.local")
    return host, int(port)
