"""A real daemon process and what it publishes, for tests."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgeser import Gap, Subscriber
from edgeser.events.schema import AnyEvent, EmotionEvent, FaultEvent, SpeechEvent, StatusEvent
from edgeser.pcm import SAMPLE_RATE, Samples

EDGESER = [sys.executable, "-m", "edgeser"]


def edgeser(*arguments: str, timeout_s: float = 300, **options: object) -> Finished:
    """Run a command to its end."""
    done = subprocess.run(
        [*EDGESER, *arguments],
        capture_output=True,
        timeout=timeout_s,
        **options,  # type: ignore[call-overload]
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    code: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The one line that a user error prints; asserts that it is one, with exit code 2.

        A daemon may have said before what it is about to do.
        """
        assert self.code == 2, (self.code, self.err)
        lines = [line for line in self.err.splitlines() if not line.startswith("INFO ")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("edgeser: "), self.err
        return lines[0]


@dataclass
class Daemon:
    """A running ``edgeser run`` and all events that were received from it."""

    process: subprocess.Popen[bytes]
    endpoint: str
    log: Path
    events: list[AnyEvent] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def emotions(self) -> list[EmotionEvent]:
        return [e for e in self.events if isinstance(e, EmotionEvent)]

    @property
    def finals(self) -> list[EmotionEvent]:
        return [e for e in self.emotions if e.kind == "final"]

    @property
    def speech(self) -> list[SpeechEvent]:
        return [e for e in self.events if isinstance(e, SpeechEvent)]

    @property
    def faults(self) -> list[FaultEvent]:
        return [e for e in self.events if isinstance(e, FaultEvent)]

    @property
    def statuses(self) -> list[StatusEvent]:
        return [e for e in self.events if isinstance(e, StatusEvent)]

    @property
    def state(self) -> str:
        """The state in the last status; empty before the first."""
        return self.statuses[-1].state if self.statuses else ""

    def wait(self, timeout_s: float = 100) -> int:
        """Exit code of the process, after all of its events have arrived, i.e. when every stream
        has sent its last status, "stopping".
        """
        code = self.process.wait(timeout_s)
        with self.changed:
            assert self.changed.wait_for(self._has_stopped, 100), "no 'stopping' status came"
        return code

    def wait_for(self, condition: str, timeout_s: float = 100) -> None:
        """Wait until an expression over ``self`` holds, e.g. ``self.finals``."""
        with self.changed:
            holds = self.changed.wait_for(lambda: eval(condition, {"self": self}), timeout_s)
        assert holds, f"{condition} did not come true; {self.log.read_text()}"

    @contextmanager
    def hearing(self, sound: Samples) -> Iterator[None]:
        """During the block, a sound comes on standard input, repeated, at most in real time."""
        pipe = self.process.stdin
        assert pipe is not None
        enough = threading.Event()

        def play() -> None:
            for first in itertools.cycle(range(0, len(sound), SAMPLE_RATE // 10)):
                pipe.write(sound[first : first + SAMPLE_RATE // 10].tobytes())
                pipe.flush()
                if enough.wait(0.1):
                    return

        player = threading.Thread(target=play)
        player.start()
        try:
            yield
        finally:
            enough.set()
            player.join()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def _has_stopped(self) -> bool:
        stopped = {s.stream for s in self.statuses if s.state == "stopping"}
        return stopped == {s.stream for s in self.statuses} != set()

    def _follow(self, subscriber: Subscriber, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                item = next(subscriber)
            except TimeoutError:
                continue
            with self.changed:
                if isinstance(item, Gap):
                    self.gaps.append(item)
                else:
                    self.events.append(item)
                self.changed.notify_all()


@contextmanager
def running(
    *arguments: str,
    env: dict[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    await_subscriber: bool = True,
) -> Iterator[Daemon]:
    """A daemon on an endpoint of its own, subscribed to before it hears anything."""
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        endpoint = f"ipc://{folder}/events.sock"
        log = Path(folder) / "log"
        waiting = ["--await-subscriber"] if await_subscriber else []
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [*EDGESER, "run", "--bind", endpoint, *waiting, *arguments],
                stdin=stdin,
                stderr=errors,
                env={**os.environ, "XDG_STATE_HOME": folder, **(env or {})},
            )
        daemon = Daemon(process, endpoint, log)
        stop = threading.Event()
        with Subscriber(endpoint, timeout_s=0.1) as subscriber:
            follower = threading.Thread(target=daemon._follow, args=(subscriber, stop))
            follower.start()
            try:
                yield daemon
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
                stop.set()
                follower.join()
