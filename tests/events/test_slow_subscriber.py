"""A subscriber that stands still delays nobody, and learns what it missed."""

from __future__ import annotations

import os
import signal

from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import FaultEvent

from .helpers import fault, python, subscribe, take, until

FOLLOW = """
import sys
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.subscriber import Subscriber

with Subscriber(sys.argv[1], timeout_s=120, receive_hwm=50) as subscriber:
    for item in subscriber:
        if isinstance(item, Gap):
            print("gap", item.from_seq, item.to_seq, flush=True)
        else:
            print("event", item.seq, item.seq, flush=True)
            if item.message == "the end":
                break
"""

EVENTS = 2000
AT_ONCE = 20
MESSAGE = "x" * 2000


def test_a_stopped_process_delays_nobody_and_is_told_its_losses(endpoint: str) -> None:
    # ZeroMQ looks only once a millisecond at what a peer has taken: a queue much shorter than this
    # would be full for the one that listens, too.
    with Publisher([endpoint], send_hwm=500) as publisher, subscribe(publisher) as subscriber:
        stopped = python(FOLLOW, endpoint)
        until(lambda: publisher.subscriptions == 2)
        publisher.publish(fault("the beginning"))
        assert stopped.stdout is not None
        first = stopped.stdout.readline()
        os.kill(stopped.pid, signal.SIGSTOP)
        received = take(subscriber, 1)
        for _ in range(EVENTS // AT_ONCE):
            for _ in range(AT_ONCE):
                publisher.publish(fault(MESSAGE))
            received += take(subscriber, AT_ONCE)
        os.kill(stopped.pid, signal.SIGCONT)
        while stopped.poll() is None:
            publisher.publish(fault("the end"))
            take(subscriber, 1)
        rest, errors = stopped.communicate()
    assert [item.seq for item in received if isinstance(item, FaultEvent)] == [
        *range(1, EVENTS + 2)
    ]
    assert errors == ""
    told: list[int] = []
    gaps = 0
    for line in (first + rest).splitlines():
        kind, start, end = line.split()
        gaps += kind == "gap"
        told += range(int(start), int(end) + 1)
    assert gaps >= 1
    assert len(told) > EVENTS
    assert told == list(range(1, len(told) + 1))


def test_a_killed_subscriber_is_forgotten(endpoint: str) -> None:
    with Publisher([endpoint]) as publisher:
        follower = python(FOLLOW, endpoint)
        until(lambda: publisher.subscriptions == 1)
        follower.kill()
        follower.communicate()
        until(lambda: publisher.subscriptions == 0)


def test_closing_does_not_wait_for_a_stopped_subscriber(endpoint: str) -> None:
    publisher = Publisher([endpoint])
    stopped = python(FOLLOW, endpoint)
    until(lambda: publisher.subscriptions == 1)
    os.kill(stopped.pid, signal.SIGSTOP)
    for _ in range(EVENTS):
        publisher.publish(fault(MESSAGE))
    publisher.close(timeout_s=30)  # it gives up after LINGER_MS; this is patience only
    Publisher([endpoint]).close()
    stopped.kill()
    stopped.communicate()
