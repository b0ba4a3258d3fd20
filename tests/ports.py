"""TCP ports of this machine, reserved until the server that needs them starts."""

from __future__ import annotations

import socket

_held: list[socket.socket] = []


def free_port(in_a_row: int = 1) -> int:
    """The first of so many ports; a connection to one is refused until a server listens there.

    They stay bound, but never listen, until this process ends. A server can bind one nevertheless,
    as it sets SO_REUSEADDR, too; the kernel gives it to nobody else, not even for an outgoing
    connection.
    """
    while True:
        first = _bound(0)
        port: int = first.getsockname()[1]
        try:
            others = [_bound(port + n) for n in range(1, in_a_row)]
        except (OSError, OverflowError):
            first.close()
            continue
        _held.extend((first, *others))
        return port


def _bound(port: int) -> socket.socket:
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", port))
    except (OSError, OverflowError):
        holder.close()
        raise
    return holder
