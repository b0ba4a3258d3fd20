"""What the page costs, its server and its browser.

python benchmarks/page.py [--seconds 60] [--finals 50000] [--day 100000] [--json]

Real processes: a publisher, ``edgeser page``, three clients, Debian's Chromium (playwright).
``--finals``: how many the journal's last 24 hours have, for the timeline. ``--day``: how many
events, as many as a tab gets in a long day, are published as fast as the browser takes them.
Everything runs on this machine, even the browser's drawing, without a GPU: mind the load reported
with the figures.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import script
from edgeser.bench.machine import usage
from tests.page.world import (
    LABELS,
    PATIENCE_S,
    Daemon,
    PageProcess,
    chromium,
    days_of_speech,
    emotion,
    level,
    page_of,
    speech,
    status,
    until,
    write_journal,
)

CLIENTS = 3
EVENTS_A_SECOND = 10
SETTLE_S = 5.0
SHOWN_S = 140.0
"""Longer than a tab keeps the events that it received."""

FRAMES = 120


def main() -> None:
    parser = script.parser_of(__doc__, as_json=True)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to watch the server")
    parser.add_argument("--finals", type=int, default=50_000, help="on the timeline")
    parser.add_argument("--day", type=int, default=100_000, help="events for one tab")
    parser.add_argument("--server", action="store_true", help="only the server, no browser")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgeser-") as name:
        folder = Path(name)
        write_journal(folder / "journal.db", days_of_speech(1, _tonight(), options.finals))
        daemon = Daemon(f"ipc://{folder}/events.sock", folder / "journal.db")
        try:
            with page_of(daemon, folder) as page:
                figures = server(daemon, page, options.seconds)
                if not options.server:
                    with chromium() as browser:
                        figures |= first_paint(browser, page)
                        figures |= timeline(browser, page)
                        figures |= long_day(browser, page, daemon, options.day)
                figures["server MB at the end"] = round(usage(page.process.pid).resident_mb, 1)
        finally:
            daemon.stop()
    figures["load of the machine"] = round(os.getloadavg()[0], 1)
    script.show(figures, as_json=options.json)


def server(daemon: Daemon, page: PageProcess, seconds: float) -> dict[str, Any]:
    """Processor and memory of the server at ten events a second, with three clients."""
    from tests.page.test_live import Told

    clients = [Told(page, accept="gzip") for _ in range(CLIENTS)]  # as browsers
    stopped = threading.Event()

    def drain(client: Told) -> None:
        while not stopped.is_set():
            client._receive()
            client._raw = b""

    threads = [threading.Thread(target=drain, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    publish(daemon, SETTLE_S)
    first, begun = usage(page.process.pid), time.monotonic()
    publish(daemon, seconds)
    last, lasted = usage(page.process.pid), time.monotonic() - begun
    stopped.set()
    for thread, client in zip(threads, clients, strict=True):
        thread.join()
        client.close()
    return {
        "server, % of a core": round(100 * (last.cpu_s - first.cpu_s) / lasted, 2),
        "server MB": round(last.resident_mb, 1),
    }


def publish(daemon: Daemon, seconds: float) -> None:
    """Ten events a second: five levels, four emotions, one status."""
    begun, number = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        kind = number % EVENTS_A_SECOND
        if kind == 0:
            daemon.tell(status("speech"))
        elif kind % 2:
            daemon.tell(level(-30.0, talking=True))
        else:
            daemon.tell(emotion(LABELS[number % 4], segment=1 + number // 40, end=2.0))
        number += 1
        time.sleep(max(0.0, begun + number / EVENTS_A_SECOND - time.monotonic()))


def first_paint(browser: Any, page: PageProcess) -> dict[str, Any]:
    """Seconds from the navigation to the first contentful paint, of five tabs with cold caches."""
    seconds = []
    for _ in range(5):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        tab = context.new_page()
        tab.set_default_timeout(1000 * PATIENCE_S)
        tab.goto(page.url)
        tab.wait_for_selector("nav")
        found: list[float] = []
        while not found:
            found = tab.evaluate(
                "performance.getEntriesByName('first-contentful-paint').map((e) => e.startTime)"
            )
        seconds.append(found[0] / 1000)
        context.close()
    return {"first paint s, median (worst)": _spread(seconds)}


DRAG = """async (frames) => {
  const grab = document.querySelector('.grab');
  const box = grab.querySelector('.u-over').getBoundingClientRect();
  const fire = (type, x) =>
    grab.dispatchEvent(new PointerEvent(type, { pointerId: 1, clientX: x, bubbles: true }));
  const drawn = () => new Promise((done) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  });
  grab.setPointerCapture = () => {};
  const worked = [];
  let x = box.left + box.width / 2;
  fire('pointerdown', x);
  for (let i = 0; i < frames; i += 1) {
    await new Promise(requestAnimationFrame);
    const begun = performance.now();
    x += i < frames / 2 ? 4 : -4;
    fire('pointermove', x);
    const deltaY = i % 8 < 4 ? -12 : 12;
    grab.dispatchEvent(new WheelEvent('wheel', { deltaY, clientX: x, cancelable: true }));
    await drawn();
    worked.push(performance.now() - begun);
  }
  fire('pointerup', x);
  return worked;
}"""


def timeline(browser: Any, page: PageProcess) -> dict[str, Any]:
    """Milliseconds of work for each frame while a day is dragged and zoomed.

    By wall-clock time, which includes other load on a busy machine, and by the processor time of
    the tab's main thread, which does not.
    """
    tab = browser.new_page(viewport={"width": 1440, "height": 900})
    tab.set_default_timeout(1000 * PATIENCE_S)
    begun = time.monotonic()
    tab.goto(page.url + "/#past")
    until(lambda: tab.locator(".summary dd").all_inner_texts()[1:2] > ["1"], "the day is there")
    loaded = time.monotonic() - begun
    finals = tab.locator(".summary dd").all_inner_texts()[1]
    session = tab.context.new_cdp_session(tab)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = _thread_ms(session)
    worked = sorted(tab.evaluate(DRAG, FRAMES))
    script_ms, task_ms = (
        (after - first) / FRAMES for after, first in zip(_thread_ms(session), before, strict=True)
    )
    tab.close()
    return {
        "finals on the timeline": finals,
        "seconds until the day is shown": round(loaded, 2),
        "ms of processor a frame, mean (scripts)": f"{task_ms:.1f} ({script_ms:.1f})",
        "ms of work a frame, median": round(statistics.median(worked), 1),
        "ms of work a frame, 95 of 100 below": round(worked[int(0.95 * len(worked))], 1),
    }


def _thread_ms(session: Any) -> tuple[float, float]:
    """Processor time of a tab's main thread so far: its scripts, and all that it did."""
    found = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    return 1000 * float(found["ScriptDuration"]), 1000 * float(found["TaskDuration"])


def long_day(browser: Any, page: PageProcess, daemon: Daemon, events: int) -> dict[str, Any]:
    """By how much a tab's heap, after garbage collection, grows from before the day to after it.

    The tab shows two minutes, and the day passes in about as long: at its end the tab rightly
    holds all of it. So the heap is measured again when those two minutes have passed.
    """
    tab = browser.new_page()
    tab.set_default_timeout(1000 * PATIENCE_S)
    tab.goto(page.url)
    tab.wait_for_selector("nav")
    heap = tab.context.new_cdp_session(tab)
    publish(daemon, SETTLE_S)
    before = _heap_mb(heap)
    begun = time.monotonic()
    for batch in _day(events):
        daemon.tell(*batch)
        last = batch[-1]
        until(
            lambda last=last: tab.evaluate(
                "edgeser.state.streams.get('mic')?.finals[0]?.segment ?? ''"
            ).endswith(f":{last.segment}"),
            "the browser has it",
        )  # fmt: skip
    lasted, full = time.monotonic() - begun, _heap_mb(heap)
    publish(daemon, SHOWN_S)
    after = _heap_mb(heap)
    tab.close()
    return {
        "events for one tab": f"{events} in {lasted:.0f} s",
        "heap MB before": round(before, 2),
        "heap MB with all of them in the last two minutes": round(full, 2),
        "heap grew by MB, two minutes later": round(after - before, 2),
    }


def _day(events: int) -> Iterator[list[Any]]:
    """A hundred batches; each ends with the final of a segment that one can wait for."""
    segment = 1000
    for _ in range(100):
        batch: list[Any] = []
        while len(batch) < events // 100 - 1:
            segment += 1
            batch += [speech(segment), *(emotion(LABELS[i % 4], segment=segment) for i in range(8))]
            batch += [emotion("sad", segment=segment, kind="final"), speech(segment, 4.0)]
            batch += [status(), level(-40.0, talking=False)]
        segment += 1
        yield [*batch, emotion("sad", segment=segment, kind="final")]


def _heap_mb(session: Any) -> float:
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({max(values):.2f})"


def _tonight() -> float:
    """The end of today, so that all of today is in the journal, however early it is."""
    now = time.localtime()
    return time.mktime((*now[:3], 23, 59, 59, 0, 0, -1))


if __name__ == "__main__":
    script.run(main)
