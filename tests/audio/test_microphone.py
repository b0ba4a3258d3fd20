"""The microphone against a device that misbehaves on command; the capture process is the real one.

(tests/audio/test_virtual_microphone.py does the same with the real PortAudio.)
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeser.audio import child as child_module
from edgeser.audio import microphone as microphone_module
from edgeser.audio import pace, timeline
from edgeser.audio.microphone import Microphone
from edgeser.audio.source import AudioBlock, AudioFault, SourceError
from tests.audio.conftest import Plan
from tests.patience import PATIENCE_S, until

PERIOD = 30_011
"""The fake's samples count the frames since the machine's start, modulo this."""


def heard(microphone: Microphone, seconds: float, told: str = "") -> list[AudioBlock | AudioFault]:
    """What comes until the stream is so long, and a fault has said ``told``."""
    items: list[AudioBlock | AudioFault] = []
    end = 0
    too_long = threading.Timer(PATIENCE_S, microphone.close)
    too_long.start()
    for item in microphone.blocks():
        items.append(item)
        if isinstance(item, AudioBlock):
            assert item.first_sample >= end
            assert abs(item.captured_at - time.monotonic()) < PATIENCE_S
            end = item.end_sample
            if end >= seconds * 16_000 and told in str(items):
                microphone.close()
    too_long.cancel()
    return items


def blocks_of(items: list[AudioBlock | AudioFault]) -> list[AudioBlock]:
    return [item for item in items if isinstance(item, AudioBlock)]


def codes_of(items: list[AudioBlock | AudioFault]) -> list[str]:
    return [item.code for item in items if isinstance(item, AudioFault)]


def error_in_place(blocks: list[AudioBlock]) -> int:
    """By how many samples positions stray from the frames of the fake (16 kHz mono only)."""
    stray = [
        (block.samples.astype(int) - np.arange(block.first_sample, block.end_sample)) % PERIOD
        for block in blocks
    ]
    off = (np.concatenate(stray) - stray[0][0]) % PERIOD
    return int(np.minimum(off, PERIOD - off).max())


def test_blocks_are_whole_and_in_order(fake: Plan) -> None:
    fake({})
    microphone = Microphone(stall_s=PATIENCE_S)
    items = heard(microphone, 0.5)
    assert codes_of(items) == []
    blocks = blocks_of(items)
    assert [block.first_sample for block in blocks] == list(range(0, 8_000, 320))
    assert error_in_place(blocks) == 0
    assert microphone.restarts == 0
    assert microphone.child_pid is None


def test_it_hands_over_as_much_at_once_as_is_asked_for(fake: Plan) -> None:
    fake({})
    microphone = Microphone(stall_s=PATIENCE_S)
    microphone.frames_at_once = 5
    blocks: list[AudioBlock] = []
    wanted = 5  # asked for before there is a capture process, then changed while it runs
    for item in microphone.blocks():
        assert isinstance(item, AudioBlock)
        blocks.append(item)
        frames = len(item.samples) // 320
        if frames == wanted:  # the block after a change may still be as before
            wanted = {5: 1, 1: 4, 4: 0}[wanted]
        microphone.frames_at_once = max(1, wanted)
        if not wanted or item.end_sample > 30 * 16_000:
            microphone.close()
    assert wanted == 0
    assert {len(block.samples) for block in blocks} == {320, 4 * 320, 5 * 320}
    assert error_in_place(blocks) == 0


@pytest.mark.parametrize("how", ["dies_at", "stalls_at"])
def test_a_device_that_goes_is_lost_and_comes_back_further_on(fake: Plan, how: str) -> None:
    fake({how: 20}, {})
    stall_s = PATIENCE_S if how == "dies_at" else 2.0
    microphone = Microphone("usb", stall_s=stall_s, backoff_s=0.1)
    items = heard(microphone, 1.0, "audio_restored")
    assert codes_of(items) == ["audio_lost", "audio_restored"]
    lost, restored = (item for item in items if isinstance(item, AudioFault))
    assert (lost.recovered, restored.recovered) == (False, True)
    assert ("Device unavailable" if how == "dies_at" else "no sound for 2 s") in lost.message
    assert isinstance(items[items.index(restored) + 1], AudioBlock)
    blocks = blocks_of(items)
    gap = next(
        b.first_sample - a.end_sample for a, b in pairwise(blocks) if a.end_sample != b.first_sample
    )
    assert gap >= 0.1 * 16_000
    assert error_in_place(blocks) <= 1
    assert microphone.restarts == 1


def test_restarts_become_rarer_and_can_be_ended(fake: Plan) -> None:
    fake({"dies_at": 5}, {"names": []})
    microphone = Microphone(backoff_s=0.05, backoff_max_s=600.0)

    def end_it() -> None:
        until(lambda: microphone.restarts >= 3)
        microphone.close()

    ending = threading.Thread(target=end_it)
    started = time.monotonic()
    ending.start()
    assert codes_of(list(microphone.blocks())) == ["audio_lost"]
    ending.join()
    assert time.monotonic() - started >= 0.05 + 0.1 + 0.2


def test_the_time_that_a_device_was_away_is_no_sound_that_makes_restarts_frequent_again(
    fake: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float | None] = []

    class Noted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return len(waits) == 4 or super().wait(timeout)

    monkeypatch.setattr(microphone_module, "STEADY_S", 0.1)
    fake({"dies_at": 3})
    microphone = Microphone(backoff_s=0.1, backoff_max_s=600.0)
    monkeypatch.setattr(microphone, "_closed", Noted())
    items = list(microphone.blocks())
    assert codes_of(items).count("audio_restored") == 3
    assert waits == [0.1, 0.2, 0.4, 0.8]


def test_the_wait_for_a_restart_can_be_ended(fake: Plan) -> None:
    fake({"dies_at": 5})
    microphone = Microphone(backoff_s=600.0)
    items = microphone.blocks()
    while not codes_of([next(items)]):
        pass
    threading.Timer(0.2, microphone.close).start()
    started = time.monotonic()
    assert list(items) == []
    assert time.monotonic() - started < PATIENCE_S


def test_a_machine_that_stands_still_loses_no_device(
    fake: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For more than the stall time, right after nothing was there to be read."""
    stood_s, polls = 0.0, 0

    class Poll:
        def __init__(self) -> None:
            self._poll = select.poll()
            self.register, self.unregister = self._poll.register, self._poll.unregister

        def poll(self, _: float) -> list[tuple[int, int]]:
            nonlocal stood_s, polls
            polls += 1
            if polls == 10:
                stood_s = 1000.0
                return []
            return self._poll.poll(1000 * PATIENCE_S)

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + stood_s)
    monkeypatch.setattr(child_module, "select", SimpleNamespace(poll=Poll, POLLIN=select.POLLIN))
    monkeypatch.setattr(child_module, "time", clock)
    fake({})
    microphone = Microphone(open_s=PATIENCE_S, stall_s=PATIENCE_S)
    for item in microphone.blocks():
        assert isinstance(item, AudioBlock)
        if polls > 10:
            microphone.close()
    assert stood_s


def test_closing_ends_a_silent_device(fake: Plan) -> None:
    fake({"stalls_at": 1})
    microphone = Microphone(open_s=600.0)
    threading.Timer(0.5, microphone.close).start()
    started = time.monotonic()
    assert list(microphone.blocks()) == []
    assert time.monotonic() - started < PATIENCE_S
    microphone.close()


def test_a_device_that_never_gives_a_block_is_lost(fake: Plan) -> None:
    fake({"hangs": True}, {})
    microphone = Microphone(open_s=1.0, backoff_s=0.1)
    items = heard(microphone, 0.1)
    assert codes_of(items) == ["audio_lost", "audio_restored"]
    assert blocks_of(items)[0].first_sample == 0


def test_a_device_that_is_not_there_at_first_is_waited_for_when_asked(fake: Plan) -> None:
    fake({"names": []}, {"names": []}, {})
    microphone = Microphone(wait=True, backoff_s=0.1)
    items = heard(microphone, 0.1)
    assert codes_of(items) == ["audio_lost", "audio_restored"]
    lost = next(item for item in items if isinstance(item, AudioFault))
    assert "no input device" in lost.message
    assert blocks_of(items)[0].first_sample == 0


def test_waiting_brings_no_portaudio(fake: Plan) -> None:
    fake({"missing": True}, {})
    with pytest.raises(SourceError, match="apt-get install libportaudio2"):
        next(iter(Microphone(wait=True).blocks()))


def test_overflows_are_seen_summed_up_and_leave_a_gap(fake: Plan) -> None:
    fake({"overflows_at": [10, 15, 20, 25]})
    microphone = Microphone(stall_s=PATIENCE_S, overflow_every_s=0.7)
    items = heard(microphone, 3.0, "; 4 in all")
    blocks = blocks_of(items)
    assert sum(block.overflowed for block in blocks) == 4
    assert set(codes_of(items)) == {"audio_overflow"}
    assert 2 <= len(codes_of(items)) <= 4
    gaps = [b.first_sample - a.end_sample for a, b in pairwise(blocks)]
    assert sum(gap > 0.3 * 16_000 for gap in gaps) == 4
    assert error_in_place(blocks) <= 1


def test_a_loss_nobody_reports_is_found(fake: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "_WINDOW_S", 1.0)  # not to wait for seconds
    fake({"drops_at": [10]})
    microphone = Microphone(stall_s=PATIENCE_S)
    items = heard(microphone, 5.0)
    assert codes_of(items) == ["audio_overflow"]
    assert error_in_place(blocks_of(items)[-20:] + blocks_of(items)[:5]) <= 1


def test_a_device_that_records_at_another_rate_than_it_says_is_told(
    fake: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "SURE_S", 0.5)  # not to wait for a minute
    fake({"speed": 1.5})
    items = heard(Microphone("usb", stall_s=PATIENCE_S), 3.0, "audio_pace")
    (told,) = (item for item in items if isinstance(item, AudioFault))
    assert told.message.startswith("microphone 'usb': ")
    assert "does its driver state the rate" in told.message


@pytest.mark.parametrize(("channel", "scale"), [(None, 0.75), (0, 1.0), (1, 0.5)])
def test_a_device_with_its_own_format_is_converted(
    fake: Plan, channel: int | None, scale: float
) -> None:
    fake({"rate": 48_000, "channels": 2})
    microphone = Microphone(channel=channel, stall_s=PATIENCE_S)
    blocks = blocks_of(heard(microphone, 1.0))
    assert all(a.end_sample == b.first_sample for a, b in pairwise(blocks))
    slope = np.diff(np.concatenate([block.samples for block in blocks]).astype(int))
    assert np.median(slope) == pytest.approx(3 * scale, abs=0.6)


def test_the_last_block_of_a_lost_device_may_be_answered_with_an_order(fake: Plan) -> None:
    """What a resampler still held comes when the capture process is gone."""
    fake({"rate": 48_000, "dies_at": 20}, {"rate": 48_000})
    microphone = Microphone(stall_s=PATIENCE_S, backoff_s=0.1)
    items: list[AudioBlock | AudioFault] = []
    too_long = threading.Timer(PATIENCE_S, microphone.close)
    too_long.start()
    for item in microphone.blocks():
        items.append(item)
        microphone.frames_at_once = 6 - microphone.frames_at_once  # 5, 1, 5, ...
        if isinstance(item, AudioBlock) and codes_of(items) == ["audio_lost", "audio_restored"]:
            microphone.close()
    too_long.cancel()
    assert codes_of(items) == ["audio_lost", "audio_restored"]


def test_an_unknown_device_is_refused_with_those_there_are(fake: Plan) -> None:
    fake({})
    with pytest.raises(
        SourceError, match="no input device 'nosuch'; there are: Fake USB, Fake Line"
    ):
        next(iter(Microphone("nosuch").blocks()))
    with pytest.raises(SourceError, match="could be any of: Fake USB, Fake Line"):
        next(iter(Microphone("fake").blocks()))
    with pytest.raises(SourceError, match="no channel 3; it has 0 to 0"):
        next(iter(Microphone("line", channel=3).blocks()))
    fake({"names": []})
    with pytest.raises(SourceError, match="no input device on this machine"):
        next(iter(Microphone().blocks()))
    fake({"missing": True})
    with pytest.raises(SourceError, match="apt-get install libportaudio2"):
        next(iter(Microphone().blocks()))


def test_a_process_that_talks_nonsense_is_lost() -> None:
    microphone = Microphone(command=[sys.executable, "-c", "print('hello ' * 99)"], backoff_s=60)
    fault = next(iter(microphone.blocks()))
    assert isinstance(fault, AudioFault)
    assert "out of step" in fault.message
    microphone.close()
    microphone = Microphone(command=["/nonexistent"], backoff_s=60)
    fault = next(iter(microphone.blocks()))
    assert isinstance(fault, AudioFault)
    assert "No such file" in fault.message


def test_its_last_words_are_told() -> None:
    words = "import sys; sys.stderr.write('ALSA lib chatter\\nsegmentation fault\\n' * 9999)"
    microphone = Microphone(command=[sys.executable, "-c", words], backoff_s=60)
    fault = next(iter(microphone.blocks()))
    assert isinstance(fault, AudioFault)
    assert fault.message.endswith("the capture process ended (segmentation fault)")


def test_the_capture_process_ignores_the_signals_of_its_group_and_dies_by_kill(fake: Plan) -> None:
    fake({})
    microphone = Microphone(stall_s=PATIENCE_S, backoff_s=0.1)
    items = iter(microphone.blocks())
    for number in (signal.SIGINT, signal.SIGTERM):
        next(items)
        assert microphone.child_pid is not None
        os.kill(microphone.child_pid, number)
    assert all(isinstance(next(items), AudioBlock) for _ in range(20))
    assert microphone.child_pid is not None
    os.kill(microphone.child_pid, signal.SIGKILL)
    codes: list[str] = []
    while "audio_restored" not in codes:
        codes += codes_of([next(items)])
    assert codes == ["audio_lost", "audio_restored"]
    microphone.close()
    assert len(list(items)) <= 1  # the block in hand


def test_the_capture_process_ends_with_its_parent(fake: Plan) -> None:
    fake({"stalls_at": 5})
    program = (
        "from edgeser.audio.microphone import Microphone\n"
        "microphone = Microphone(stall_s=600)\n"
        "for _ in microphone.blocks(): print(microphone.child_pid, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.kill()
    until(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # where nobody collects orphans, they stay as zombies


def test_the_capture_process_loads_nothing_heavy() -> None:
    program = "import sys, edgeser.audio.capture; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {module.partition(".")[0] for module in done.stdout.split()}
    heavy = {"numpy", "onnxruntime", "zmq", "msgspec", "soxr", "soundfile", "torch", "dataclasses"}
    assert not loaded & heavy
