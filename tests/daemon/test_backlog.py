"""Finals come first and all of them; partials only while they are news."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeser.daemon.backlog import MAX_FINALS, Backlog
from edgeser.events.schema import Quality
from edgeser.model.model import Model, load_model
from edgeser.model.network import MAX_BATCH
from edgeser.window import Window
from tests.patience import PATIENCE_S

QUALITY = Quality(speech_ratio=1, level_dbfs=-20, clipped_ratio=0, snr_db=30)


MODEL = load_model("voices6")  # of windows, of more lengths than one


def window(
    kind: Literal["partial", "final"],
    segment: int,
    stream: str = "a",
    frames: int = 1,
    pieces: int = 1,
) -> Window:
    features = [np.zeros((frames, 1), np.float32)] * pieces
    return Window(stream, MODEL, segment, kind, 0, 160, False, features, QUALITY, 0, 0, 0, 0)


def drain(backlog: Backlog) -> list[Window]:
    backlog.close()
    taken = []
    while batch := backlog.get():
        taken += batch
        backlog.done()
    return taken


def test_finals_go_before_partials() -> None:
    backlog = Backlog()
    partial, final = window("partial", 1, "a"), window("final", 1, "b")
    assert backlog.put(partial) is None
    assert backlog.put(final) is None
    assert drain(backlog) == [final, partial]


def test_a_newer_partial_displaces_the_older_of_its_stream_only() -> None:
    backlog = Backlog()
    old, new, other = window("partial", 1), window("partial", 1), window("partial", 1, "b")
    backlog.put(old)
    backlog.put(other)
    assert backlog.put(new) is old
    assert drain(backlog) == [other, new]


def test_a_final_displaces_the_partial_of_its_segment() -> None:
    backlog = Backlog()
    partial, final = window("partial", 1), window("final", 1)
    backlog.put(partial)
    assert backlog.put(final) is partial
    assert drain(backlog) == [final]


@given(st.lists(st.tuples(st.sampled_from(["partial", "final"]), st.sampled_from("ab"))))
def test_no_final_is_lost_and_all_partials_are_accounted_for(
    kinds: list[tuple[Literal["partial", "final"], str]],
) -> None:
    backlog = Backlog()
    given = [window(kind, i, stream) for i, (kind, stream) in enumerate(kinds[:MAX_FINALS])]
    displaced = [d for d in map(backlog.put, given) if d is not None]
    taken = drain(backlog)
    assert [w for w in taken if w.kind == "final"] == [w for w in given if w.kind == "final"]
    assert sorted(w.segment for w in taken + displaced) == [w.segment for w in given]
    assert all(w.kind == "partial" for w in displaced)


def test_too_many_finals_hold_the_source_back_and_lose_nothing() -> None:
    backlog = Backlog()
    total = MAX_FINALS + 20
    producer = threading.Thread(
        target=lambda: [backlog.put(window("final", i)) for i in range(total)]
    )
    producer.start()
    producer.join(0.2)
    assert producer.is_alive()
    taken = []
    while len(taken) < total:
        taken += [item.segment for item in backlog.get()]
        backlog.done()
    producer.join(PATIENCE_S)
    assert not producer.is_alive()
    assert taken == list(range(total))


def test_hundreds_that_wait_for_room_all_get_it_and_no_partial_waits() -> None:
    backlog = Backlog()
    for i in range(MAX_FINALS):
        backlog.put(window("final", i))
    kinds: list[Literal["partial", "final"]] = ["partial", "final"]
    threads = [
        threading.Thread(target=backlog.put, args=(window(kind, 1, f"{kind}{i}"),), daemon=True)
        for i in range(100)
        for kind in kinds
    ]
    for thread in threads:
        thread.start()
    for thread in threads[::2]:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    taken = 0
    while taken < MAX_FINALS + len(threads):
        taken += len(backlog.get())
        backlog.done()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_waiting_until_done_waits_for_the_work_in_hand() -> None:
    backlog = Backlog()
    backlog.put(window("final", 1))
    backlog.get()
    waiter = threading.Thread(target=backlog.wait_until_done, args=("a",))
    waiter.start()
    waiter.join(0.1)
    assert waiter.is_alive()
    backlog.done()
    waiter.join(PATIENCE_S)
    assert not waiter.is_alive()


def test_a_window_wakes_none_of_the_hundreds_that_wait_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backlog = Backlog()
    waiting = threading.Semaphore(0)
    woken: list[threading.Condition] = []
    wait = threading.Condition.wait

    def counted(self: threading.Condition, timeout: float | None = None) -> bool:
        if self._lock is not backlog._lock:  # type: ignore[attr-defined]
            return wait(self, timeout)  # a thread's own
        waiting.release()
        done = wait(self, timeout)
        woken.append(self)
        return done

    monkeypatch.setattr(threading.Condition, "wait", counted)
    names = [f"s{i}" for i in range(200)]
    for name in names:
        backlog.put(window("partial", 1, name))
    threads = [threading.Thread(target=backlog.wait_until_done, args=(n,)) for n in names]
    for thread in threads:
        thread.start()
    for _ in names:
        waiting.acquire()
    while len(backlog):
        backlog.get()
        backlog.done()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert len(woken) <= len(names)  # each once: when its own window was done


def test_windows_of_one_length_are_given_out_together_and_finals_lead() -> None:
    backlog = Backlog()
    step = MODEL.info.window.pad_frames
    long = window("final", 1, frames=step + 1)
    short, other = window("final", 2, frames=step), window("partial", 1, "b", frames=1)
    for item in (other, long, short):
        backlog.put(item)
    assert backlog.get() == [long]
    assert backlog.get() == [short, other]


@given(
    st.lists(
        st.tuples(st.sampled_from(["partial", "final"]), st.sampled_from("ab"), st.integers(1, 4)),
        max_size=MAX_FINALS,
    )
)
def test_no_window_overtakes_another_of_its_stream(
    wanted: list[tuple[Literal["partial", "final"], str, int]],
) -> None:
    backlog = Backlog()
    step = MODEL.info.window.pad_frames
    segments = {"a": 1, "b": 1}
    for kind, stream, length in wanted:
        backlog.put(window(kind, segments[stream], stream, frames=length * step))
        segments[stream] += kind == "final"
    told: dict[str, list[int]] = {"a": [], "b": []}
    for item in drain(backlog):
        told[item.stream].append(item.segment)
    assert all(numbers == sorted(numbers) for numbers in told.values())


def test_windows_of_a_model_and_of_its_successor_keep_their_order() -> None:
    backlog = Backlog()
    step = MODEL.info.window.pad_frames
    first = window("final", 1, "b", frames=step)
    old = window("final", 1, frames=2 * step)
    new = replace(window("final", 2, frames=step), model=Model(MODEL.artefact, MODEL.backend))
    for item in (first, old, new):
        backlog.put(item)
    assert drain(backlog) == [first, old, new]


def test_a_batch_is_bounded() -> None:
    backlog = Backlog()
    most = min(MAX_BATCH, MODEL.backend.batch_frames // MODEL.info.window.pad_frames)
    for i in range(most + 1):
        backlog.put(window("final", i))
    assert [len(backlog.get()), len(backlog.get())] == [most, 1]


def test_a_batch_is_bounded_by_what_its_backend_runs_well() -> None:
    backlog = Backlog()
    half = MODEL.backend.batch_frames // 2
    step = MODEL.info.window.pad_frames
    for frames in (half, half - 1, half, half + step, half + step):
        backlog.put(window("final", 1, frames=frames))
    assert [len(backlog.get()) for _ in range(4)] == [2, 1, 1, 1]


def test_a_batch_is_bounded_by_its_pieces() -> None:
    backlog = Backlog()
    for pieces in (6, 6, 6, MAX_BATCH + 1, 1):
        backlog.put(window("final", 1, pieces=pieces))
    batches = []
    backlog.close()
    while batch := backlog.get():
        batches.append([len(window.speech) for window in batch])
        backlog.done()
    assert batches == [[6, 6], [6], [MAX_BATCH + 1], [1]]
