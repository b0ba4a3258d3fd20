"""kill -9 of a real daemon at random moments, while events flow: is anything lost?

python tests/trials/kill_daemon.py [--times 200] [--seed 1] [--model FILE] [--latest 4] [--json]

A witness, a plain ZeroMQ subscriber, writes down what it is sent. After each kill, and after the
last one, it is checked that the journal opens and is whole, that all finals, speech events and
faults which the witness saw are in it, equal but for the time of sending, and that the numbers of
every topic have no hole. A resuming ``edgeser.Subscriber`` lives through all of it: what it yields
must be exactly what the journal holds, each event once, in order, without a gap. Exit code 1 if
any is not so.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
import numpy as np
import soundfile
import zmq

from benchmarks import script
from edgeser import Gap, Subscriber
from edgeser.bench import SPEECH_FILE
from edgeser.events.journal.file import ForeignFileError
from edgeser.events.journal.reader import JournalReader
from edgeser.events.schema import EmotionEvent, decode, encode, is_kept, topic_of

PATIENCE_S = 120.0


class Witness:
    """Writes down what is published, as a plain subscriber sees it."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.rcvhwm = 0
        self._socket.subscribe(b"")
        self._socket.connect(endpoint)
        self.kept: dict[tuple[str, str, int], bytes] = {}  # without their stamps

    def watch(self, seconds: float) -> None:
        """Write down what comes within so many seconds."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._socket.poll(max(1, round(left * 1000))):
                self._note(self._socket.recv_multipart()[1])

    def drain(self) -> None:
        """Write down what was still in the queue when the daemon died."""
        while self._socket.poll(100):
            self._note(self._socket.recv_multipart()[1])

    def close(self) -> None:
        self._context.destroy(linger=0)

    def _note(self, payload: bytes) -> None:
        event = decode(payload)
        if is_kept(event):
            self.kept[event.epoch, topic_of(event), event.seq] = unstamped(payload)


class Follower:
    """A subscriber that carries on across all the restarts."""

    def __init__(self, endpoint: str) -> None:
        self.payloads: list[bytes] = []
        self.gaps: list[Gap] = []
        self._subscriber = Subscriber(endpoint, since="all", timeout_s=0.2)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._subscriber as subscriber:
            while not self._stop.is_set():
                try:
                    item = next(subscriber)
                except TimeoutError:
                    continue
                if isinstance(item, Gap):
                    self.gaps.append(item)
                elif is_kept(item):
                    self.payloads.append(unstamped(subscriber.payload))


def main() -> bool:
    parser = script.parser_of(__doc__, as_json=True)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", help="name or file (default: that of the settings)")
    parser.add_argument(
        "--latest",
        type=float,
        default=4.0,
        help="seconds after the start at which a kill comes at the latest (default: 4; a daemon is "
        "ready after one or two, and later on a machine with other work)",
    )
    options = parser.parse_args()
    chosen = [] if options.model is None else ["--model", options.model]
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        rng = random.Random(options.seed)
        figures = prove(Path(folder), options.times, rng, options.latest, chosen)
    script.show(figures, as_json=options.json)
    bad = ("missing from the journal", "holes", "broken journals", "gaps", "not told exactly once")
    return not any(figures[name] for name in bad)


def prove(
    folder: Path, times: int, rng: random.Random, latest_s: float, chosen: list[str]
) -> dict[str, int]:
    endpoint, journal = f"ipc://{folder}/events.sock", folder / "journal.db"
    sound = folder / "talk.wav"
    samples, rate = soundfile.read(SPEECH_FILE, dtype="int16")
    soundfile.write(sound, np.tile(samples, 60), rate)
    figures = Counter(
        {"kills": 0, "kills after the first event": 0, "broken journals": 0},
    )
    witness, follower = Witness(endpoint), Follower(endpoint)
    try:
        for _ in range(times):
            daemon = start(endpoint, journal, sound, chosen)
            before = len(witness.kept)
            witness.watch(rng.uniform(0, latest_s))
            daemon.kill()
            daemon.wait()
            witness.drain()
            figures["kills"] += 1
            figures["kills after the first event"] += len(witness.kept) > before
            figures["broken journals"] += not is_whole(journal)
        daemon = start(endpoint, journal, None, chosen)
        caught_up(follower, journal)
        daemon.terminate()
        daemon.wait()
        caught_up(follower, journal)
    finally:
        follower.close()
        witness.close()
    held = everything(journal)
    missing = [key for key, payload in witness.kept.items() if held.get(key) != payload]
    told = Counter(follower.payloads)
    return dict(figures) | {
        "epochs": len({epoch for epoch, _, _ in held}),
        "seen by the witness": len(witness.kept),
        "held by the journal": len(held),
        "missing from the journal": len(missing),
        "holes": holes(journal),
        "told to the subscriber": len(follower.payloads),
        "not told exactly once": sum(told[p] != 1 for p in held.values())
        + len(told - Counter(held.values())),
        "gaps": len(follower.gaps),
    }


def start(
    endpoint: str, journal: Path, sound: Path | None, chosen: list[str]
) -> subprocess.Popen[bytes]:
    source = ["--source", str(sound), "--fast"] if sound else ["--source", "-"]
    return subprocess.Popen(
        [sys.executable, "-m", "edgeser", "run", "--bind", endpoint, *source, *chosen],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "EDGESER_JOURNAL_PATH": str(journal)},
    )


def is_whole(journal: Path) -> bool:
    """Whether the journal opens and SQLite finds nothing wrong with it, or there is none yet."""
    with tempfile.TemporaryDirectory() as folder:  # a copy: the next daemon must recover its own
        for file in journal.parent.glob(f"{journal.name}*"):
            shutil.copy(file, folder)
        with closing(sqlite3.connect(Path(folder) / journal.name)) as database:
            try:
                return bool(database.execute("PRAGMA integrity_check").fetchall() == [("ok",)])
            except sqlite3.Error:
                return False


def everything(journal: Path) -> dict[tuple[str, str, int], bytes]:
    with JournalReader(journal) as reader:
        payloads = list(reader.payloads())
    events = [(decode(payload), payload) for payload in payloads]
    return {(e.epoch, topic_of(e), e.seq): unstamped(payload) for e, payload in events}


def unstamped(payload: bytes) -> bytes:
    """An event without what is measured at its sending, which the journal cannot know."""
    event = msgspec.structs.replace(decode(payload), time=0.0)
    if isinstance(event, EmotionEvent):
        latency = msgspec.structs.replace(event.latency_ms, publish=0.0, total=0.0)
        event = msgspec.structs.replace(event, latency_ms=latency)
    return encode(event)


def holes(journal: Path) -> int:
    """Entries whose predecessor in their topic is not the one that they name."""
    found = 0
    with JournalReader(journal) as reader:
        epoch = reader.first_epoch()
        while epoch is not None:
            for topic in reader.topics(epoch):
                last = 0
                for entry in reader.entries(topic, 0, 2**62):
                    found += entry.after != last
                    last = entry.seq
                found += last != topic.last
            epoch = reader.next_epoch(epoch)
    return found


def caught_up(follower: Follower, journal: Path) -> None:
    """Wait until the follower has received as many events as the journal holds."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError, ForeignFileError):  # it is not made yet, or being made
            if len(follower.payloads) >= len(everything(journal)):
                return
        time.sleep(0.2)


if __name__ == "__main__":
    script.run(main)
