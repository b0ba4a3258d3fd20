"""Each kept event is handed over at least once, in order, whoever is killed on the way."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from edgeser.bridges.cursor import Cursor
from edgeser.bridges.feed import TOPICS, Delivery, Feed
from edgeser.bridges.position_file import PositionFile
from edgeser.errors import UserError
from edgeser.events.journal.journal import JournalPlace
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import is_kept, topic_of
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.catch_up import Position
from edgeser.events.subscribe.subscriber import Subscriber
from tests.events.helpers import PATIENCE_S, emotion, fault, speech, status, until

Key = tuple[str, str, int]
AT_FIRST = Position("a", {}, 0)


def behind(seq: int) -> Position:
    return Position("a", {"fault.mic": seq})


def test_the_position_moves_when_all_before_it_is_acknowledged() -> None:
    cursor = Cursor(AT_FIRST)
    first, second = cursor.hand_over(behind(1)), cursor.hand_over(behind(2))
    cursor.pass_by(behind(3))
    cursor.acknowledge(second)
    assert (cursor.position, cursor.in_flight) == (AT_FIRST, 1)
    cursor.acknowledge(first)
    assert (cursor.position, cursor.in_flight) == (behind(3), 0)
    cursor.pass_by(behind(4))
    cursor.acknowledge(first)
    assert cursor.position == behind(4)


@given(st.lists(st.integers(-1, 30), max_size=60))
def test_the_position_is_always_behind_the_last_of_an_unbroken_run(steps: list[int]) -> None:
    """-1: an event comes that is not for the receiver; 0: one that is; n: ticket n comes back."""
    cursor = Cursor(AT_FIRST)
    waits: list[tuple[int, bool]] = []  # ticket, and whether it is acknowledged
    for step in steps:
        seq = len(waits) + 1
        if step == -1:
            cursor.pass_by(behind(seq))
            waits.append((0, True))
        elif step == 0:
            waits.append((cursor.hand_over(behind(seq)), False))
        else:
            cursor.acknowledge(step)
            waits = [(t, done or t == step) for t, done in waits]
        unbroken = next((i for i, (_, done) in enumerate(waits) if not done), len(waits))
        assert cursor.position == (behind(unbroken) if unbroken else AT_FIRST)
        assert cursor.in_flight == sum(not done for _, done in waits)


class Bridged(RuleBasedStateMachine):
    """A real publisher with a journal, a real subscriber, a cursor in a file, and a receiver.

    A bridge that is killed leaves its file only; a daemon that is killed its journal; a receiver
    what it had acknowledged.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="edgeser-"))
        self.endpoint = f"ipc://{self.folder}/events.sock"
        self.published: list[Key] = []
        self.received: dict[Key, None] = {}
        self.handed: dict[int, Key] = {}
        self.publisher = self.new_publisher()
        self.file = PositionFile(self.folder / "bridge.cursor")
        self.feed = self.new_feed()

    def new_publisher(self) -> Publisher:
        return Publisher([self.endpoint], journal=JournalPlace(self.folder / "journal.db"))

    def new_feed(self) -> Feed:
        def subscribe(since: Position | None) -> Subscriber:
            return Subscriber(self.endpoint, TOPICS, timeout_s=0.02, since=since)

        return Feed(subscribe, self.file, self.file.load() or Position(""))

    @rule(kinds=st.lists(st.sampled_from("fpse"), min_size=1, max_size=12))
    def publish(self, kinds: str) -> None:
        make = {
            "f": fault,
            "p": lambda: emotion(kind="partial"),
            "s": speech,
            "e": lambda: emotion(stream="hall"),
        }
        for kind in kinds:
            event = make[kind]()
            topic = topic_of(event)
            seq = self.publisher.last_seq().get(topic, 0) + 1
            self.publisher.publish(event)
            until(lambda: self.publisher.last_seq().get(topic, 0) == seq)  # noqa: B023
            if is_kept(event):
                self.published.append((self.publisher.epoch, topic, seq))

    @rule(count=st.integers(1, 8))
    def hand_over(self, count: int) -> None:
        self.publisher.publish(status())
        for _ in range(count):
            if delivery := self.feed.next():
                self.take(delivery)

    def take(self, delivery: Delivery) -> None:
        assert not isinstance(delivery.item, Gap), delivery
        if delivery.ticket is not None:
            item = delivery.item
            self.handed[delivery.ticket] = (item.epoch, topic_of(item), item.seq)

    @rule(share=st.floats(0, 1), order=st.randoms(use_true_random=False))
    def acknowledge(self, share: float, order: random.Random) -> None:
        """The receiver keeps some of what it was given, in the order in which it came.

        Acknowledgements come back in any order.
        """
        kept = list(self.handed)[: round(share * len(self.handed))]
        for ticket in kept:
            self.received[self.handed[ticket]] = None
        order.shuffle(kept)
        for ticket in kept:
            del self.handed[ticket]
            self.feed.acknowledge(ticket)

    @rule()
    def acknowledgement_is_lost(self) -> None:
        """The receiver has an event, and both die before the bridge knows."""
        for key in list(self.handed.values())[:1]:
            self.received[key] = None
        self.bridge_is_killed()

    @rule()
    def save(self) -> None:
        self.feed.save()

    @rule()
    def bridge_is_killed(self) -> None:
        self.feed._subscriber.close()  # nothing is saved
        (self.folder / ".00c0ffee.new").write_text('{"epoch":"half a posi')
        self.handed.clear()
        self.feed = self.new_feed()

    @rule()
    def daemon_is_killed(self) -> None:
        self.publisher.close()
        self.publisher = self.new_publisher()

    def teardown(self) -> None:
        try:
            deadline = time.monotonic() + 2 * PATIENCE_S
            while set(self.received) != set(self.published):
                assert time.monotonic() < deadline, set(self.published) - set(self.received)
                self.hand_over(20)
                for ticket, key in self.handed.items():
                    self.received[key] = None
                    self.feed.acknowledge(ticket)
                self.handed.clear()
            for topic in {(epoch, topic) for epoch, topic, _ in self.received}:
                told = [seq for *where, seq in self.received if tuple(where) == topic]
                assert told == sorted(told)
        finally:
            self.feed._subscriber.close()
            self.publisher.close()
            self.file.close()
            shutil.rmtree(self.folder)


TestBridged = Bridged.TestCase
TestBridged.settings = settings(
    max_examples=12,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_a_daemon_that_stops_is_trouble_until_it_is_back(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/events.sock"
    file = PositionFile(tmp_path / "bridge.cursor")

    def subscribe(since: Position | None) -> Subscriber:
        return Subscriber(endpoint, TOPICS, timeout_s=0.02, since=since)

    feed = Feed(subscribe, file, None, silent_s=0.2)

    def is_heard(publisher: Publisher) -> bool:
        publisher.publish(status())
        return feed.next() is not None and not feed.trouble

    try:
        for _ in range(2):
            with Publisher([endpoint]) as publisher:
                until(lambda: is_heard(publisher))
            until(lambda: feed.next() is None and "nothing has come for" in feed.trouble)
    finally:
        feed.close()
        file.close()


def test_a_receiver_that_is_slow_is_no_trouble_of_the_daemon(
    publisher: Publisher, tmp_path: Path
) -> None:
    file = PositionFile(tmp_path / "bridge.cursor")

    def subscribe(since: Position | None) -> Subscriber:
        return Subscriber(publisher.endpoints[0], TOPICS, timeout_s=PATIENCE_S, since=since)

    feed = Feed(subscribe, file, None, silent_s=0.0)
    try:
        until(lambda: publisher.subscriptions > 0)
        publisher.publish(status())
        assert feed.next() is not None
        publisher.publish(status())
        time.sleep(0.01)  # nobody asks for more
        assert not feed.trouble
        assert feed.next() is not None
        assert not feed.trouble
    finally:
        feed.close()
        file.close()


def test_a_position_outlives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bridge.cursor"
    file = PositionFile(path)
    assert file.load() is None
    file.save(behind(7))
    file.close()
    again = PositionFile(path)
    assert again.load() == behind(7)
    assert [file.name for file in path.parent.glob("*.new")] == []
    again.close()


def test_positions_of_the_last_half_hour_are_known(tmp_path: Path) -> None:
    file = PositionFile(tmp_path / "bridge.cursor")
    assert file.earlier(0) is None
    for second in range(0, 7200, 10):
        file.save(behind(second), now=second)
    for now in (7200, 7300):
        earlier = file.earlier(now)
        assert earlier is not None
        assert 1800 <= now - earlier.after["fault.mic"] <= 2200
    assert file.earlier(1000) == behind(5100)  # the clock was set back: the oldest there is
    size = (tmp_path / "bridge.cursor").stat().st_size
    file.close()
    assert size < 2000


def test_a_clock_that_steps_back_does_not_make_the_file_grow(tmp_path: Path) -> None:
    file = PositionFile(tmp_path / "bridge.cursor")
    for minute in range(60):
        file.save(behind(minute), now=90_000 + 60 * minute)
    file.save(behind(60), now=0)
    assert file.earlier(0) == behind(25)  # half an hour before is known all the same
    for minute in range(1, 240):
        file.save(behind(60 + minute), now=60 * minute)
    assert file.earlier(14_400) == behind(60 + 210)
    file.close()
    assert (tmp_path / "bridge.cursor").stat().st_size < 2000


def test_one_bridge_only_uses_a_file(tmp_path: Path) -> None:
    path = tmp_path / "bridge.cursor"
    file = PositionFile(path)
    with pytest.raises(UserError, match=r"bridge\.cursor: in use by pid \d+; stop that bridge"):
        PositionFile(path)
    file.close()


@pytest.mark.parametrize(
    "said",
    [
        "poem",
        '{"position":{"epoch":"a","after":{"emotion.mic":-1}}}',
        '{"position":{"epoch":"a","floor":9223372036854775808}}',
    ],
)
def test_a_file_that_holds_no_position_is_named(said: str, tmp_path: Path) -> None:
    path = tmp_path / "bridge.cursor"
    path.write_text(said)
    file = PositionFile(path)
    with pytest.raises(UserError, match=r"bridge\.cursor: holds no position.*delete it"):
        file.load()
    file.close()


def test_a_full_disk_is_said_once_and_the_old_position_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A real full disk needs a mount; a limit on the size of files gives the same error path."""
    code = f"""
import logging, resource, signal
from pathlib import Path
from edgeser.bridges.position_file import PositionFile
from edgeser.events.subscribe.catch_up import Position
logging.basicConfig(format="%(message)s", level="INFO")
file = PositionFile(Path({str(tmp_path / "bridge.cursor")!r}))
file.save(Position("a", {{"fault.mic": 1}}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8, resource.RLIM_INFINITY))
for seq in range(2, 9):
    file.save(Position("a", {{"fault.mic": seq}}))
assert file.load() == Position("a", {{"fault.mic": 1}})
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
file.save(Position("a", {{"fault.mic": 9}}))
assert file.load() == Position("a", {{"fault.mic": 9}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 2, lines
    assert "cannot be written: File too large; events are still forwarded" in lines[0]
    assert lines[1].endswith("is written again")
