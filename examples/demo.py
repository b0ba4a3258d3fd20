"""The demo: a daemon and a listener, as two processes, on a sound file. Ends by itself.

python examples/demo.py [FILE]    default: a synthetic voice
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

from edgeser.bench import SPEECH_FILE

STAGES = ("capture", "segment", "features", "queue", "inference", "publish", "total")
NEXT = """
Next:
  make page                              the same in a browser
  . .venv/bin/activate                   then, with a microphone:
  edgeser doctor && edgeser run          hear it; in another terminal: edgeser listen
  edgeser predict FILE.wav               a row for each segment of a recording"""
COLOURS = {
    "angry": 31,
    "disgusted": 32,
    "fearful": 35,
    "happy": 33,
    "neutral": 36,
    "sad": 34,
}


def main() -> int:
    sound = sys.argv[1] if len(sys.argv) > 1 else str(SPEECH_FILE)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    latencies: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="edgeser-demo-") as folder:
        endpoint = f"ipc://{folder}/events.sock"
        edgeser = [sys.executable, "-m", "edgeser"]
        listener = subprocess.Popen(
            [*edgeser, "listen", "--connect", endpoint, "--json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        daemon = subprocess.Popen(
            [*edgeser, "run", "--once", "--await-subscriber"]
            + ["--source", sound, "--bind", endpoint],
            env={**os.environ, "EDGESER_JOURNAL_PATH": f"{folder}/journal.sqlite"},
        )
        # Of a daemon that fails there is nothing to listen to.
        threading.Thread(target=lambda: daemon.wait() and listener.terminate(), daemon=True).start()
        try:
            for event in show(events_of(listener)):
                latencies.append(event["latency_ms"])
            status = daemon.wait(10)
        except KeyboardInterrupt:
            status = 130
        finally:
            for process in (daemon, listener):
                process.terminate()
                process.wait()
    if latencies:
        summarise(latencies)
        print(NEXT)
    return status


def events_of(listener: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The events that the listener prints, until the daemon says that it is stopping."""
    assert listener.stdout is not None
    for line in listener.stdout:
        event = json.loads(line)
        yield event
        if event["type"] == "status" and event["state"] == "stopping":
            return


def show(events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Print events as they come; pass the emotions on."""
    for event in events:
        clock = time.strftime("%H:%M:%S", time.localtime(event["time"]))
        match event["type"]:
            case "speech":
                at = event["start"] if event["state"] == "start" else event["end"]
                print(f"{clock}  {at:6.2f} s  speech {event['state']}", flush=True)
            case "emotion":
                label = paint(f"{event['label']:<9}", event["label"], event["kind"] == "final")
                bar = "█" * round(20 * event["confidence"])
                total = event["latency_ms"]["total"]
                print(
                    f"{clock}  {event['end']:6.2f} s  {event['kind']:<7} {label} "
                    f"{event['confidence']:4.0%} {bar:<20} {total:6.1f} ms",
                    flush=True,
                )
                yield event
            case "fault":
                print(f"{clock}  fault {event['code']}: {event['message']}", flush=True)


def paint(text: str, label: str, bold: bool) -> str:
    if not sys.stdout.isatty():
        return text
    return f"\033[{int(bold)};{COLOURS.get(label, 37)}m{text}\033[0m"


def summarise(latencies: list[dict[str, float]]) -> None:
    print(f"\nLatency of {len(latencies)} events, ms from the capture of the last sample needed")
    print(f"{'stage':<10} {'median':>8} {'max':>8}")
    for stage in STAGES:
        values = [latency[stage] for latency in latencies]
        print(f"{stage:<10} {statistics.median(values):8.2f} {max(values):8.2f}")


if __name__ == "__main__":
    sys.exit(main())
