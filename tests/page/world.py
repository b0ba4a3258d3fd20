"""A daemon's publisher, a page that looks at it, and a browser. Real sockets, a real Chromium."""

from __future__ import annotations

import hashlib
import http.client
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from edgeser.errors import UserError
from edgeser.events.journal.journal import JournalPlace
from edgeser.events.journal.store import Entry, JournalStore
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import (
    Counters,
    EmotionEvent,
    FaultEvent,
    Latency,
    LevelEvent,
    Lost,
    ModelRef,
    Quality,
    Smoothed,
    SpeechEvent,
    State,
    StatusEvent,
    encode,
    topic_of,
)
from edgeser.model.artefact import model_path

PATIENCE_S = 300.0  # of a very busy machine
LABELS = ("angry", "happy", "neutral", "sad")


def shipped(name: str) -> ModelRef:
    """A shipped model as events name it; its version is of no matter here."""
    return ModelRef(name, "1", hashlib.sha256(model_path(name).read_bytes()).hexdigest())


MODEL = shipped("lightweight-emodb")


def scores_of(label: str, confidence: float = 0.8) -> dict[str, float]:
    rest = (1 - confidence) / (len(LABELS) - 1)
    return {name: round(confidence if name == label else rest, 4) for name in LABELS}


def emotion(
    label: str = "happy",
    *,
    segment: int = 1,
    kind: str = "partial",
    start: float = 0.0,
    end: float = 1.0,
    scores: dict[str, float] | None = None,
    smoothed: str | None = None,
    stream: str = "mic",
    mood: tuple[float, float] | None = None,
) -> EmotionEvent:
    scores = scores or scores_of(label)
    return EmotionEvent(
        stream=stream,
        segment=segment,
        kind="final" if kind == "final" else "partial",
        start=start,
        end=end,
        label=label,
        confidence=scores.get(label, 0.5),
        scores=scores,
        smoothed=Smoothed(label=smoothed or label, since=start),
        valence=mood[0] if mood else None,
        arousal=mood[1] if mood else None,
        quality=Quality(speech_ratio=0.9, level_dbfs=-24.0, clipped_ratio=0.0, snr_db=30.0),
        latency_ms=Latency(
            capture=0.3, segment=0.2, features=0.7, queue=0.2, inference=4.4, publish=0.1, total=5.9
        ),
        model=MODEL,
        lost=Lost(),
    )


def speech(segment: int = 1, end: float | None = None, stream: str = "mic") -> SpeechEvent:
    state = "start" if end is None else "end"
    return SpeechEvent(
        stream=stream, state="start" if state == "start" else "end", segment=segment, start=0.0,
        end=end,
    )  # fmt: skip


def fault(
    message: str = "nothing came for 2.0 s; the microphone is being started again",
    code: str = "audio_lost",
    recovered: bool = False,
    stream: str = "mic",
) -> FaultEvent:
    return FaultEvent(stream=stream, code=code, message=message, recovered=recovered)


def status(
    state: State = "listening",
    *,
    frame_age_s: float | None = 0.02,
    level_dbfs: float | None = -52.0,
    stream: str = "mic",
    uptime_s: float = 5400.0,
    dropped: int = 0,
    model: ModelRef = MODEL,
) -> StatusEvent:
    return StatusEvent(
        stream=stream,
        state=state,
        frame_age_s=frame_age_s,
        uptime_s=uptime_s,
        position_s=uptime_s - 1,
        counters=Counters(
            samples=int(uptime_s * 16_000), segments=212, finals=209, partials=890,
            dropped_windows=dropped,
        ),
        model=model,
        backend="onnxruntime/CPU",
        level_dbfs=level_dbfs,
        noise_floor_dbfs=-61.0 if level_dbfs is not None else None,
    )  # fmt: skip


def level(dbfs: float, talking: bool, stream: str = "mic") -> LevelEvent:
    return LevelEvent(stream=stream, speech=talking, level_dbfs=dbfs, noise_floor_dbfs=-61.0)


def until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"it never came true: {what}"
        time.sleep(0.05)


class Daemon:
    """The side of a daemon that a page sees: it publishes, keeps a journal and answers replays."""

    def __init__(self, endpoint: str, journal: Path) -> None:
        self.endpoint = endpoint
        self.journal = journal
        self.publisher = Publisher([endpoint], journal=JournalPlace(journal, retry_s=0.1))

    def tell(self, *events: Any) -> None:
        for event in events:
            self.publisher.publish(event)

    def stop(self) -> None:
        self.publisher.close()

    def again(self) -> None:
        """Begin another run. On a busy machine the first one's thread may take a while to end."""
        self.stop()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                place = JournalPlace(self.journal, retry_s=0.1)
                self.publisher = Publisher([self.endpoint], journal=place)
            except UserError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return


class PageProcess:
    """``edgeser page``, as a user starts it."""

    def __init__(self, *arguments: str, folder: Path) -> None:
        self.output = folder / "page.log"
        with self.output.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edgeser", "page", "--listen", "127.0.0.1:0", *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        until(lambda: "The page is at" in self.said() or self.process.poll() is not None, "ready")
        assert self.process.poll() is None, self.said()
        self.url = self.said().split("The page is at ")[1].split()[0].removesuffix("/login")
        self.url = self.url.removesuffix("/")
        self.host = self.url.partition("://")[2]
        self.port = int(self.host.rpartition(":")[2])

    def said(self) -> str:
        return self.output.read_text()

    def get(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request; headers are named with _ instead of -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Host": self.host, **named})
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found, response.read()

    def ask(self, path: str) -> Any:
        code, _, body = self.get(path)
        assert code == 200, (code, body)
        return json.loads(body)

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()


@contextmanager
def page_of(daemon: Daemon, folder: Path, *arguments: str) -> Iterator[PageProcess]:
    """The page of a daemon on this machine, which opens its journal."""
    common = ("--connect", daemon.endpoint, "--journal", str(daemon.journal))
    page = PageProcess(*common, *arguments, folder=folder)
    try:
        yield page
    finally:
        page.close()


@contextmanager
def chromium(*arguments: str) -> Iterator[Any]:
    """Debian's Chromium without a window system; ``make test`` installs it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium-headless-shell",
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *arguments],
            timeout=1000 * PATIENCE_S,
        )
        try:
            yield browser
        finally:
            browser.close()


def conversation(seconds: float) -> Iterator[tuple[float, list[Any]]]:
    """Speech of two minutes, with the time at which each event is due. The same every time."""
    parts = (
        (4.0, 13.0, "neutral"), (17.0, 30.0, "happy"), (36.0, 48.0, "happy"),
        (54.0, 61.0, "neutral"), (66.0, 82.0, "angry"), (88.0, 97.0, "sad"),
        (101.0, 118.0, "neutral"),
    )  # fmt: skip
    for segment, (begin, end, label) in enumerate(parts, 1):
        if begin > seconds:
            return
        yield begin, [speech(segment)]
        at = begin + 1
        while at < end:
            sure = 0.62 + 0.26 * math.sin((at - begin) / (end - begin) * math.pi)
            found = scores_of(label, sure)
            second = LABELS[(LABELS.index(label) + 2) % 4]
            shift = 0.10 * (1 + math.sin(at))
            others = {k: max(0.01, v - shift / 2) for k, v in found.items() if k != second}
            found = {**others, second: 1 - sum(others.values())}
            found = {name: found[name] for name in LABELS}
            yield at, [emotion(label, segment=segment, start=0, end=at - begin, scores=found)]
            at += 0.5
        final = emotion(label, segment=segment, kind="final", start=0, end=end - begin)
        yield end, [speech(segment, end - begin), final]


def write_journal(path: Path, timed: Iterable[tuple[float, Any]], epoch: str = "0ld") -> None:
    """A journal of an earlier run: events, each with the time at which it was published."""
    store = JournalStore(path, epoch)
    last: dict[str, int] = {}
    entries = []
    for published, event in timed:
        topic = topic_of(event)
        seq = last[topic] = last.get(topic, 0) + 1
        told = msgspec.structs.replace(event, epoch=epoch, seq=seq, time=published)
        entries.append(Entry(topic, seq, seq - 1, published, encode(told)))
    store.append(entries)
    store.close()


def days_of_speech(days: int, now: float, a_day: int) -> Iterator[tuple[float, Any]]:
    """Finals as people speak: clustered, more by day than by night; the same every time."""
    chance = random.Random(7)
    for back in range(days - 1, -1, -1):
        midnight = datetime.fromtimestamp(now - back * 86_400).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        begin = midnight.timestamp()
        busy = chance.choice((0.4, 0.7, 1.0, 1.0, 1.2)) if days > 1 else 1.0
        times = sorted(
            begin
            + 86_400 * min(0.999, max(0.0, chance.gauss(chance.choice((0.36, 0.52, 0.8)), 0.06)))
            for _ in range(int(a_day * busy))
        )
        mood = "neutral"
        for number, at in enumerate(times, 1):
            if at > now - 150:
                break
            if chance.random() < 0.2:
                mood = chance.choices(LABELS, (1, 3, 6, 1.4))[0]
            sure = min(0.99, max(0.42, chance.gauss(0.8, 0.13)))
            label = "unknown" if sure < 0.55 else mood
            found = scores_of(mood, sure)
            length = chance.uniform(1.2, 9.0)
            event = emotion(mood, segment=number, kind="final", start=0.0, end=length, scores=found)
            yield at, msgspec.structs.replace(event, label=label, confidence=sure)
            if chance.random() < 2.5 / a_day:
                yield at + 1, fault()
                yield at + 4, fault("sound arrives again", "audio_restored", True)
