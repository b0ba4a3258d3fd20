"""``edgeser bridge lsl``, recorded by a real inlet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pylsl
import pytest

from edgeser.bridges.lsl import LslStreams
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import Event
from tests.events.helpers import emotion, fault, speech, status
from tests.patience import PATIENCE_S

LABELS = ["angry", "happy", "neutral", "sad"]


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with (
        tempfile.TemporaryDirectory(prefix="edgeser-") as folder,
        Publisher([f"ipc://{folder}/events.sock"]) as publisher,
    ):
        yield publisher


def inlet(publisher: Publisher, name: str) -> pylsl.StreamInlet:
    """Connected to a stream that the bridge makes when it hears the daemon's status."""
    for _ in range(int(PATIENCE_S)):
        publisher.publish(msgspec.structs.replace(status(stream="lab"), labels=LABELS))
        if found := pylsl.resolve_byprop("source_id", name, timeout=1.0):
            inlet = pylsl.StreamInlet(found[0], recover=False)
            inlet.open_stream(PATIENCE_S)
            return inlet
    raise AssertionError(f"no stream {name}")


def test_a_recorder_gets_scores_and_markers_with_the_time_of_their_capture(
    publisher: Publisher,
) -> None:
    node = f"test-{os.getpid()}"
    command = [sys.executable, "-m", "edgeser", "bridge", "lsl", "--node", node]
    process = subprocess.Popen([*command, "--connect", publisher.endpoints[0]])
    try:
        scores = inlet(publisher, f"edgeser-{node}-lab")
        markers = inlet(publisher, f"edgeser-{node}-lab-markers")
        info = scores.info(PATIENCE_S)
        assert info.get_channel_labels() == LABELS
        assert (info.name(), info.type(), info.nominal_srate()) == ("edgeser-lab", "Emotion", 0.0)
        noise = msgspec.structs.replace(speech(end=2.0, stream="lab"), reason="not_speech")
        publisher.publish(noise)  # had no start, and gets no end
        publisher.publish(speech(stream="lab"))
        late = msgspec.structs.replace(emotion().latency_ms, capture=30_000.0)
        event = msgspec.structs.replace(emotion(stream="lab"), latency_ms=late)
        publisher.publish(event)
        publisher.publish(fault(stream="lab"))
        sample, at = scores.pull_sample(PATIENCE_S)
        assert sample == pytest.approx([event.scores[label] for label in LABELS])
        told = [markers.pull_sample(PATIENCE_S) for _ in range(3)]
        assert [text for (text,), _ in told] == ["speech start", "final happy", "fault audio_lost"]
        assert told[1][1] == pytest.approx(at)
        # The latency of the event is half a minute and a little: it was captured so long before.
        assert told[0][1] - at > 25
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()


def test_what_arrives_late_has_the_time_of_its_capture() -> None:
    lsl, wall = 1000.0, 5000.0
    node = f"late-{os.getpid()}"
    streams = LslStreams(node, clock=lambda: lsl, wall=lambda: wall)
    ahead = 3600.0  # the daemon's clock is another machine's

    def push(event: Event, published: float) -> None:
        streams.push(msgspec.structs.replace(event, time=published + ahead))

    push(msgspec.structs.replace(status(stream="lab"), labels=LABELS), wall)
    (found,) = pylsl.resolve_byprop("source_id", f"edgeser-{node}-lab-markers", timeout=PATIENCE_S)
    markers = pylsl.StreamInlet(found, recover=False)
    markers.open_stream(PATIENCE_S)
    lsl, wall = lsl + 60, wall + 60
    latency = msgspec.structs.replace(emotion().latency_ms, total=250.0)
    push(speech(stream="lab"), wall - 20)
    push(msgspec.structs.replace(emotion(stream="lab"), latency_ms=latency), wall - 10)
    push(fault(stream="lab"), wall)
    told = [markers.pull_sample(PATIENCE_S) for _ in range(3)]
    assert [(text, at) for (text,), at in told] == [
        ("speech start", pytest.approx(1040)),
        ("final happy", pytest.approx(1049.75)),
        ("fault audio_lost", pytest.approx(1060)),
    ]


def test_times_follow_a_clock_that_is_slow_and_one_that_is_set_back() -> None:
    now, ahead = 0.0, 0.0
    node = f"slow-{os.getpid()}"
    streams = LslStreams(node, clock=lambda: now, wall=lambda: 5000.0 + now)

    def push(event: Event) -> None:
        streams.push(msgspec.structs.replace(event, time=5000.0 + now + ahead))

    def stay(seconds: int) -> None:
        nonlocal now, ahead
        for _ in range(seconds // 10):
            push(msgspec.structs.replace(status(stream="lab"), labels=LABELS))
            now += 10
            ahead -= 10 * 40e-6

    stay(10)
    (found,) = pylsl.resolve_byprop("source_id", f"edgeser-{node}-lab-markers", timeout=PATIENCE_S)
    markers = pylsl.StreamInlet(found, recover=False)
    markers.open_stream(PATIENCE_S)
    for set_back in (0, 2):
        ahead -= set_back
        stay(24 * 3600)
        push(fault(stream="lab"))
        assert markers.pull_sample(PATIENCE_S)[1] == pytest.approx(now, abs=0.01)


def test_the_osc_example_sends_what_it_says(publisher: Publisher) -> None:
    from pythonosc.dispatcher import Dispatcher
    from pythonosc.osc_server import BlockingOSCUDPServer

    got: list[tuple[object, ...]] = []
    dispatcher = Dispatcher()
    dispatcher.set_default_handler(lambda *message: got.append(message))
    example = Path(__file__).parents[2] / "examples" / "osc.py"
    with BlockingOSCUDPServer(("127.0.0.1", 0), dispatcher) as server:
        server.timeout = 1.0
        port = str(server.server_address[1])
        process = subprocess.Popen(
            [sys.executable, str(example), "127.0.0.1", port, publisher.endpoints[0]],
            stderr=subprocess.PIPE,
        )
        try:
            for _ in range(int(PATIENCE_S)):
                publisher.publish(speech(stream="lab"))
                publisher.publish(emotion(stream="lab"))
                server.handle_request()
                if {message[0] for message in got} == {
                    "/edgeser/lab/speech",
                    "/edgeser/lab/emotion",
                }:
                    break
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=PATIENCE_S)[1] == b""
        finally:
            process.kill()
            process.wait()
    told = {str(message[0]): message[1:] for message in got}
    assert told["/edgeser/lab/speech"] == (1,)
    assert told["/edgeser/lab/emotion"][:2] == ("final", "happy")
    assert told["/edgeser/lab/emotion"][2] == pytest.approx(0.85)
    assert len(told["/edgeser/lab/emotion"]) == 3 + len(LABELS)
