"""The address of an MQTT broker, and our login there. Needs no MQTT library."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import msgspec

from edgeser.bridges.credentials import read_password, refuse_login, tls_context
from edgeser.errors import UserError
from edgeser.host_port import bracketed, split_host_port

if TYPE_CHECKING:
    from edgeser.settings.schema import MqttSettings


class Broker(msgspec.Struct, frozen=True):
    """The broker's address, and our login there."""

    host: str
    port: int
    tls: bool = False
    ca: str | None = None
    user: str | None = None
    password_file: str | None = None

    def __str__(self) -> str:
        return f"broker {bracketed(self.host)}:{self.port}"

    def password(self) -> str | None:
        """The password of ``user``. Raises UserError."""
        return None if self.password_file is None else read_password(self.password_file)

    def tls_context(self) -> ssl.SSLContext | None:
        """How the broker's certificate is verified; None without TLS. Raises UserError."""
        return tls_context(self.ca) if self.tls else None


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
    """Host and port of ``HOST[:PORT]``. Raises UserError."""
    refuse_login("broker", text)
    host, port = split_host_port(text, 8883 if tls else 1883) or ("", 0)
    if port == 0:
        raise UserError(
            f"broker {text!r}: expected HOST or HOST:PORT",
            "e.g. homeassistant.local, or [::1] for IPv6",
        )
    return host, port
