"""Where microphones connect."""

from __future__ import annotations

import pytest

from edgeser.audio.network.address import parse_address
from edgeser.errors import UserError


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://0.0.0.0:7790", "sent unencrypted; use tls://0.0.0.0:7790"),
        ("tcp://*:7790", "sent unencrypted"),
        ("tcp://kitchen", "expected tcp://HOST:PORT"),
        ("tls://a:99999", "expected tls://HOST:PORT"),
    ],
)
def test_addresses_that_are_refused(address: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_address(address)
