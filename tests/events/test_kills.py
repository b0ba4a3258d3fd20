"""A subscriber that lives through any history of kills is told what the journal has, run by run.

A model of a daemon, its journal and its subscriber: the daemon is killed and started again at any
moment, before or after the journal knows the run, events get lost on the way, and questions are
asked while nobody is there to answer.
"""

from __future__ import annotations

import tempfile
from collections import deque
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from edgeser.events.journal.answer import RunProgress, answer
from edgeser.events.journal.reader import JournalReader
from edgeser.events.journal.store import Entry, JournalStore
from edgeser.events.schema import AnyEvent, encode, is_kept, topic_of
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.catch_up import CatchUp, Position
from edgeser.events.wire.replay import ReplayEnd

from .helpers import emotion, fault, status

Key = tuple[str, str, int]
_decoder = msgspec.json.Decoder(AnyEvent | Gap | ReplayEnd)


class Kills(RuleBasedStateMachine):
    @initialize(resumes=st.booleans())
    def begin(self, resumes: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal.db"
        self.catch_up = CatchUp([""], Position("") if resumes else None)
        self.resumes = resumes
        self.store: JournalStore | None = None
        self.is_up = False
        self.runs = 0
        self.epoch = ""
        self.last_seq: dict[str, int] = {}
        self.last_kept: dict[str, int] = {}
        self.on_the_way: deque[AnyEvent] = deque()
        self.order: list[str] = []
        self.known: set[str] = set()
        self.held: list[Key] = []
        self.lost: set[Key] = set()
        self.told: list[Key] = []
        self.gaps: list[Gap] = []
        self.joined_at: int | None = 0 if resumes else None
        self.start(journal=True)

    @precondition(lambda self: not self.is_up)
    @rule(journal=st.integers(0, 3).map(bool))
    def start(self, journal: bool) -> None:
        """``journal``: whether the file gets to know this run before it is killed."""
        self.runs += 1
        self.epoch = f"run{self.runs}"
        self.order.append(self.epoch)
        self.last_seq, self.last_kept = {}, {}
        if journal:
            self.known.add(self.epoch)
            self.store = JournalStore(self.path, self.epoch)
        self.is_up = True

    @precondition(lambda self: self.is_up)
    @rule()
    def kill(self) -> None:
        if self.store is not None:
            self.store.close()
        self.store = None
        self.is_up = False

    @precondition(lambda self: self.is_up)
    @rule(kind=st.sampled_from(["final", "partial", "fault", "status"]), arrives=st.booleans())
    def publish(self, kind: str, arrives: bool) -> None:
        event: AnyEvent = {"fault": fault, "status": status}.get(kind, lambda: emotion(kind=kind))()
        topic = topic_of(event)
        seq = self.last_seq.get(topic, 0) + 1
        event = msgspec.structs.replace(event, epoch=self.epoch, seq=seq)
        if kind == "status":
            event = msgspec.structs.replace(event, last_seq=dict(self.last_seq))
        if is_kept(event):
            key = (self.epoch, topic, seq)
            if self.store is not None:
                after = self.last_kept.get(topic, 0)
                self.store.append([Entry(topic, seq, after, 1.0, encode(event))])
                self.held.append(key)
            else:
                self.lost.add(key)
            self.last_kept[topic] = seq
        self.last_seq[topic] = seq
        if arrives:
            self.on_the_way.append(event)

    @rule()
    def receive(self) -> None:
        """Everything that can be told now; an event is held while its question has no answer."""
        for _ in range(300):
            if self.catch_up.request is not None:
                if not self.answer():
                    return
            elif self.on_the_way:
                event = self.on_the_way[0]
                if self.catch_up.hold(event):
                    continue
                self.on_the_way.popleft()
                deliver, gaps = self.catch_up.take(event)
                self.tell(gaps)
                self.tell([event] if deliver else [])
                if self.joined_at is None:
                    self.joined_at = self.order.index(event.epoch)
            else:
                return
        raise AssertionError("it asks for ever")

    def answer(self) -> bool:
        """Whether somebody is there who answers what is asked."""
        if not self.is_up or not self.path.exists():
            return False
        request = self.catch_up.request
        assert request is not None
        live = RunProgress(self.epoch, self.last_seq, self.last_kept)
        with JournalReader(self.path) as reader:
            *parts, end = map(_decoder.decode, answer(request, reader, live))
        assert isinstance(end, ReplayEnd)
        told = self.catch_up.answered([(part, b"") for part in parts], end)
        self.tell([item for item, _ in told])
        return True

    def tell(self, items: list[AnyEvent | Gap]) -> None:
        for item in items:
            if isinstance(item, Gap):
                self.gaps.append(item)
            elif is_kept(item):
                self.told.append((item.epoch, topic_of(item), item.seq))

    def teardown(self) -> None:
        if self.is_up:
            self.kill()
        self.start(journal=True)
        for kind in ("final", "fault"):
            self.publish(kind, arrives=True)
        self.publish("status", arrives=True)
        self.receive()
        assert not self.on_the_way, "an event is held for ever"
        self.kill()
        self.folder.cleanup()
        assert len(set(self.told)) == len(self.told), "told twice"
        # Where a run that the journal never knew belongs is unknown.
        runs = [self.order.index(epoch) for epoch, _, _ in self.told if not self.unknown(epoch)]
        assert runs == sorted(runs), "the runs are out of order"
        for topic in {topic for _, topic, _ in self.told}:
            for epoch in self.order:
                seqs = [seq for e, t, seq in self.told if (e, t) == (epoch, topic)]
                assert seqs == sorted(seqs), "a topic is out of order"
        for epoch, topic, seq in self.held:
            if self.resumes or self.order.index(epoch) > (self.joined_at or 0):
                assert (epoch, topic, seq) in self.told, f"{epoch} {topic} {seq} is dropped"
        for gap in self.gaps:
            assert any(
                (gap.epoch, gap.topic) == key[:2] and key[2] >= gap.from_seq for key in self.lost
            ) or self.unknown(gap.epoch), f"nothing is lost: {gap}"

    def unknown(self, epoch: str) -> bool:
        """Whether the journal never knew that run."""
        return epoch not in self.known


Kills.TestCase.settings = settings(
    deadline=None,
    max_examples=25,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow],
)
TestKills = Kills.TestCase
