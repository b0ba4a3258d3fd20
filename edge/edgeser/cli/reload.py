"""Makes a running daemon reload its settings, and waits for the outcome."""

from __future__ import annotations

import os
import signal
import time

from edgeser.errors import UserError
from edgeser.events.schema import FAULT_PREFIX, STATUS_PREFIX, FaultEvent, ModelRef, StatusEvent
from edgeser.events.subscribe.subscriber import Subscriber
from edgeser.events.wire.endpoint import IpcEndpoint, parse_endpoint
from edgeser.events.wire.lock import holder_pid
from edgeser.settings.schema import Settings

PATIENCE_S = 60.0


class RefusedError(UserError):
    """The daemon keeps the model that it has."""


def reload_daemon(settings: Settings, expected: ModelRef) -> int | None:
    """Reload the daemon that publishes where the settings say, and wait until it runs the model.

    Returns its process id; None if none runs, or only on TCP, where its process cannot be known.
    Raises RefusedError, or UserError when the daemon says nothing within a minute.
    """
    for endpoint in settings.events.bind:
        parsed = parse_endpoint(endpoint)
        if not isinstance(parsed, IpcEndpoint):
            continue
        pid = holder_pid(parsed.lock_path)
        if pid is not None:
            _reload(pid, endpoint, expected)
            return pid
    return None


def _reload(pid: int, endpoint: str, expected: ModelRef) -> None:
    silent = UserError(
        f"the daemon (pid {pid}) did not load the model within {PATIENCE_S:g} s",
        "see its log, or go back with 'edgeser models use --rollback'",
    )
    with Subscriber(endpoint, (STATUS_PREFIX, FAULT_PREFIX), PATIENCE_S) as subscriber:
        try:
            next(subscriber)  # connected: no answer is missed
            os.kill(pid, signal.SIGHUP)
            deadline = time.monotonic() + PATIENCE_S
            for event in subscriber:
                if isinstance(event, FaultEvent) and event.code == "settings_rejected":
                    raise RefusedError(f"the daemon (pid {pid}) refused: {event.message}")
                if isinstance(event, StatusEvent) and event.model == expected:
                    return
                if time.monotonic() > deadline:
                    raise silent
        except PermissionError:
            raise RefusedError(f"the daemon (pid {pid}) is another user's", "try sudo") from None
        except TimeoutError:
            raise silent from None
