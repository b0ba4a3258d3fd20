"""``edgeser on`` as a process, with a real publisher and real programs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from edgeser.cli.on import _ending
from edgeser.events.publish import numbering
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import Event
from edgeser.hooks.runner import Runner
from tests.events.helpers import PATIENCE_S, emotion, speech, status
from tests.system.daemons import edgeser


class Hook:
    """A running ``edgeser on``, and the publisher that it hears."""

    def __init__(self, publisher: Publisher, process: subprocess.Popen[str]) -> None:
        self.publisher = publisher
        self.process = process

    def publish(self, *events: Event) -> None:
        for event in events:
            self.publisher.publish(event)

    def end(self) -> tuple[int, str]:
        """Ask it to end; its exit code and what it said."""
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=PATIENCE_S * 3)
        return self.process.returncode, said


@contextmanager
def hook(folder: Path, *arguments: str) -> Iterator[Hook]:
    endpoint = f"ipc://{folder}/events.sock"
    publisher = Publisher([endpoint])
    command = [sys.executable, "-m", "edgeser", "on", "--connect", endpoint, *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: publisher.subscriptions > 0)
        yield Hook(publisher, process)
    finally:
        process.kill()
        process.wait()
        publisher.close()


def wait_for(condition: object) -> None:
    assert callable(condition)
    until = time.monotonic() + PATIENCE_S * 3
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_the_program_gets_the_event_and_its_fields(tmp_path: Path) -> None:
    got = tmp_path / "got"
    script = f'printf "%s\\n" "$0 $1" >> {got}; cat >> {got}'
    with hook(
        tmp_path, "final", "--label", "angry", "--", "sh", "-c", script, "{label}", "{stream}"
    ) as on:
        on.publish(emotion(1), speech(), emotion(2, "partial", label="angry"))
        on.publish(emotion(2, label="angry"))
        wait_for(lambda: len(lines(got)) == 2)
        code, _ = on.end()
    words, payload = lines(got)
    assert words == "angry mic"
    event = json.loads(payload)
    assert (event["segment"], event["kind"], event["label"]) == (2, "final", "angry")
    assert code == 0


def test_one_at_a_time_and_in_order(tmp_path: Path) -> None:
    got = tmp_path / "got"
    script = f"echo in {{segment}} >> {got}; sleep 0.1; echo out {{segment}} >> {got}"
    with hook(tmp_path, "final", "--", "sh", "-c", script) as on:
        on.publish(*(emotion(segment) for segment in range(1, 6)))
        wait_for(lambda: len(lines(got)) == 10)
        code, _ = on.end()
    expected = [f"{way} {segment}" for segment in range(1, 6) for way in ("in", "out")]
    assert lines(got) == expected
    assert code == 0


def test_what_waits_at_the_end_still_runs(tmp_path: Path) -> None:
    got = tmp_path / "got"
    runner = Runner(["sh", "-c", f"sleep 0.1; cat >> {got}"], timeout_s=60)
    for segment in range(5):
        runner.put(emotion(segment), b"%d" % segment)
    runner.close()
    assert lines(got) == ["0", "1", "2", "3", "4"]


def test_a_program_that_hangs_or_fails_does_not_stop_the_next(tmp_path: Path) -> None:
    got = tmp_path / "got"
    script = f"echo $0 >> {got}; [ $0 != 1 ] || sleep 600; [ $0 != 2 ] || exit 3"
    with hook(tmp_path, "final", "--timeout", "3", "--", "sh", "-c", script, "{segment}") as on:
        on.publish(*(emotion(segment) for segment in (1, 2, 3)))
        wait_for(lambda: len(lines(got)) == 3)
        _, said = on.end()
    assert "not done within 3 s" in said
    assert "exit code 3" in said


def test_an_event_that_cannot_be_handed_to_the_program_is_told_and_the_next_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    got = tmp_path / "got"
    runner = Runner(["sh", "-c", f"echo $0 >> {got}", "{stream}"], timeout_s=60)
    runner.put(emotion(stream="no byte stands for \ud800"), b"")
    runner.put(emotion(stream="mic"), b"")
    runner.close()
    assert lines(got) == ["mic"]
    (told,) = caplog.messages
    assert told.startswith("sh: number 0 of no byte")


def test_a_second_signal_does_not_break_off_the_end(tmp_path: Path) -> None:
    got = tmp_path / "got"
    script = f"echo began >> {got}; sleep 1; echo ended >> {got}"
    with hook(tmp_path, "final", "--", "sh", "-c", script) as on:
        on.publish(emotion(1))
        wait_for(lambda: lines(got) == ["began"])
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            on.process.send_signal(number)
            time.sleep(0.2)
        _, said = on.process.communicate(timeout=PATIENCE_S * 3)
    assert (on.process.returncode, said) == (0, "")
    assert lines(got) == ["began", "ended"]


def test_a_signal_while_an_event_is_put_leaves_no_lock_held(tmp_path: Path) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    runner = Runner(["touch", str(tmp_path / "ran")], timeout_s=60)
    try:
        asked = _ending(runner)
        with runner._changed:
            signal.raise_signal(signal.SIGTERM)
            runner.put(emotion(1), b"")
        assert len(asked) == 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        runner.close()
    assert (tmp_path / "ran").exists()


def test_a_later_second_signal_ends_what_still_runs(tmp_path: Path) -> None:
    got = tmp_path / "got"
    script = f"echo began >> {got}; sleep 600"
    with hook(tmp_path, "final", "--timeout", "600", "--", "sh", "-c", script) as on:
        on.publish(emotion(1), emotion(2))
        wait_for(lambda: lines(got) == ["began"])
        on.process.send_signal(signal.SIGINT)
        while on.process.poll() is None:
            time.sleep(0.5)
            on.process.send_signal(signal.SIGINT)
        _, said = on.process.communicate(timeout=PATIENCE_S * 3)
    assert on.process.returncode == 1
    assert "ended by a second signal" in said
    assert lines(got) == ["began"]


def test_what_is_broken_off_says_how_many_events_waited(tmp_path: Path) -> None:
    got = tmp_path / "got"
    runner = Runner(["sh", "-c", f"echo began >> {got}; sleep 600"], timeout_s=600)
    for segment in (1, 2, 3):
        runner.put(emotion(segment), b"")
    wait_for(lambda: lines(got) == ["began"])
    runner.break_off()
    runner.close()
    assert runner.left == 2
    assert lines(got) == ["began"]


def test_an_option_that_is_not_known_is_no_program() -> None:
    done = edgeser("on", "final", "--labl", "angry", "--", "true")
    assert done.code == 2
    assert "no such option" in done.err.lower()
    assert "--labl" in done.err


def test_a_label_that_the_model_lacks_is_told_once(tmp_path: Path) -> None:
    got = tmp_path / "got"
    now = msgspec.structs.replace(status(), labels=["angry", "happy"])
    wanted = ("--label", "hapy", "--label", "angry")
    with hook(tmp_path, "final", *wanted, "--", "sh", "-c", f"echo {{label}} >> {got}") as on:
        on.publish(now, now, emotion(label="angry"))
        wait_for(lambda: lines(got) == ["angry"])
        code, said = on.end()
    assert code == 0
    assert said == "no label 'hapy' in lightweight-emodb; it has angry, happy\n"


def test_a_stream_that_the_daemon_lacks_is_told_once(tmp_path: Path) -> None:
    got = tmp_path / "got"
    wanted = ("--stream", "Kueche", "--stream", "hall")
    with hook(tmp_path, "final", *wanted, "--", "sh", "-c", f"echo {{stream}} >> {got}") as on:
        on.publish(status(), status("hall"), status(), status("hall"), emotion(stream="hall"))
        wait_for(lambda: lines(got) == ["hall"])
        _, said = on.end()
    assert said == "no stream 'Kueche' so far; there is hall, mic\n"


def test_what_is_told_late_runs_nothing_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = tmp_path / "got"
    with hook(tmp_path, "final", "--", "sh", "-c", f"echo {{segment}} >> {got}") as on:
        with monkeypatch.context() as earlier:
            clock = SimpleNamespace(time=lambda: time.time() - 600, monotonic=time.monotonic)
            earlier.setattr(numbering, "time", clock)
            on.publish(emotion(1), emotion(2, "partial"), emotion(2))
            wait_for(lambda: on.publisher.last_seq().get("emotion.mic") == 3)
        on.publish(emotion(3))
        wait_for(lambda: lines(got) == ["3"])
        _, said = on.end()
    assert said == "skipped 2 older than 300 s\n"


def test_what_only_seems_old_by_a_wrong_clock_is_counted_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = tmp_path / "got"
    with hook(tmp_path, "final", "--", "sh", "-c", f"echo {{segment}} >> {got}") as on:
        with monkeypatch.context() as behind:
            clock = SimpleNamespace(time=lambda: time.time() - 600, monotonic=time.monotonic)
            behind.setattr(numbering, "time", clock)
            on.publish(emotion(1), status(), emotion(2), status())
            wait_for(lambda: on.publisher.last_seq().get("status.mic") == 2)
        on.publish(emotion(3))
        wait_for(lambda: lines(got) == ["3"])
        _, said = on.end()
    assert said == "skipped 1 older than 300 s\n" * 2


def test_not_more_often_than_asked_for(tmp_path: Path) -> None:
    got = tmp_path / "got"
    script = f"echo {{stream}} >> {got}"
    with hook(tmp_path, "final", "--every", "600", "--", "sh", "-c", script) as on:
        on.publish(emotion(1), emotion(2), emotion(1, stream="hall"), emotion(3))
        wait_for(lambda: len(lines(got)) == 2)
        on.end()
    assert lines(got) == ["mic", "hall"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["final", "--", "no-such-program-here"], "no such program"),
        (["final", "--", "echo", "{mood}"], "no such field"),
        (["speech", "--above", "0.5", "--", "true"], "neither label nor confidence"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(arguments: list[str], complaint: str) -> None:
    assert complaint in edgeser("on", *arguments).refusal


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        (("--above", "nan"), "nan is not a finite number"),
        (("--every", "inf"), "inf is not a finite number"),
        (("--timeout", "1e10"), "not in the range"),
    ],
)
def test_a_number_that_is_none_is_refused(option: tuple[str, str], complaint: str) -> None:
    done = edgeser("on", "final", *option, "--", "true")
    assert done.code == 2
    assert complaint in done.err
