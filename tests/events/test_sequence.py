"""Whatever is lost or comes twice, deliveries and gaps together account for every event once."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeser.events.sequence import Gap, SequenceTracker

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TOPICS = ("emotion.mic", "fault.mic", "speech.mic")


def accounted(
    sequence: SequenceTracker, arrivals: list[tuple[str, str, int]]
) -> list[tuple[str, str, int]]:
    """What a subscriber is told, one entry per event delivered or declared missing."""
    told = []
    for topic, epoch, seq in arrivals:
        deliver, gap = sequence.accept(topic, epoch, seq)
        if gap:
            assert gap.missed >= 1
            told += [(topic, epoch, n) for n in range(gap.from_seq, gap.to_seq + 1)]
        if deliver:
            told.append((topic, epoch, seq))
    return told


@st.composite
def one_epoch(draw: st.DrawFn, epoch: str = "a") -> list[tuple[str, str, int]]:
    """Interleaved topics, each in order, with some lost and some sent twice (later, too)."""
    published = draw(st.lists(st.sampled_from(TOPICS), max_size=40))
    numbers = dict.fromkeys(TOPICS, 0)
    arrivals: list[tuple[str, str, int]] = []
    for topic in published:
        numbers[topic] += 1
        if draw(st.booleans()):
            arrivals.append((topic, epoch, numbers[topic]))
        if arrivals and draw(st.integers(0, 4)) == 0:
            arrivals.append(draw(st.sampled_from(arrivals)))
    return arrivals


@patient
@given(one_epoch())
def test_every_event_from_the_first_received_is_accounted_for_once(
    arrivals: list[tuple[str, str, int]],
) -> None:
    told = accounted(SequenceTracker(), arrivals)
    for topic in TOPICS:
        got = [seq for name, _, seq in arrivals if name == topic]
        expected = list(range(got[0], max(got) + 1)) if got else []
        assert [seq for name, _, seq in told if name == topic] == expected


@patient
@given(one_epoch("a"), one_epoch("b"))
def test_who_was_there_before_a_new_epoch_is_told_of_all_of_it(
    before: list[tuple[str, str, int]], after: list[tuple[str, str, int]]
) -> None:
    sequence = SequenceTracker()
    accounted(sequence, before)
    told = accounted(sequence, after)
    for topic in TOPICS:
        got = [seq for name, _, seq in after if name == topic]
        first = 1 if before else (got or [1])[0]
        expected = list(range(first, max(got) + 1)) if got else []
        assert [seq for name, _, seq in told if name == topic] == expected


@patient
@given(one_epoch(), st.integers(0, 20), st.integers(0, 60))
def test_a_status_tells_of_losses_that_no_later_event_shows(
    arrivals: list[tuple[str, str, int]], split: int, reached: int
) -> None:
    sequence = SequenceTracker()
    seen = {topic: seq for topic, _, seq in arrivals[:split]}
    position = {t: max(s for n, _, s in arrivals[:split] if n == t) for t in seen}
    accounted(sequence, arrivals[:split])
    gaps = sequence.published("a", dict.fromkeys(TOPICS, reached))
    expected = {t: Gap(t, "a", last + 1, reached) for t, last in position.items() if reached > last}
    assert {gap.topic: gap for gap in gaps} == expected
    assert len(gaps) == len(expected)
    for topic in expected:
        assert sequence.accept(topic, "a", reached) == (False, None)
        assert sequence.accept(topic, "a", reached + 1) == (True, None)


def test_the_first_event_of_a_late_joiner_is_no_gap() -> None:
    assert SequenceTracker().accept("emotion.mic", "a", 1000) == (True, None)


def test_who_asked_for_the_past_is_told_where_it_is_gone() -> None:
    sequence = SequenceTracker("a", {"emotion.mic": 4})
    assert sequence.accept("emotion.mic", "a", 4) == (False, None)
    assert sequence.accept("emotion.mic", "a", 8) == (True, Gap("emotion.mic", "a", 5, 7))


def test_topics_are_numbered_apart() -> None:
    sequence = SequenceTracker()
    assert sequence.accept("emotion.mic", "a", 5) == (True, None)
    assert sequence.accept("fault.mic", "a", 2) == (True, None)
    assert sequence.accept("emotion.mic", "a", 6) == (True, None)


def test_a_late_joiner_expects_all_that_follows_what_was_published_before_it() -> None:
    sequence = SequenceTracker("a")
    assert sequence.accept("speech.mic", "a", 9) == (True, None)
    assert sequence.set_floor({"emotion.mic": 4, "speech.mic": 8})
    assert sequence.positions == {"emotion.mic": 4, "speech.mic": 9}
    assert sequence.accept("emotion.mic", "a", 4) == (False, None)
    assert sequence.accept("emotion.mic", "a", 7) == (True, Gap("emotion.mic", "a", 5, 6))
    assert sequence.accept("fault.mic", "a", 2) == (True, Gap("fault.mic", "a", 1, 1))
    assert not sequence.set_floor({"level.mic": 3})
    assert "level.mic" not in sequence.positions
