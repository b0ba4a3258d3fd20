"""The microphone with the real PortAudio, on a virtual device: what is heard, what is survived."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeser.audio.devices import input_devices
from edgeser.audio.microphone import Microphone
from edgeser.audio.source import AudioBlock, AudioFault, SourceError
from edgeser.pcm import Samples
from tests.patience import PATIENCE_S, until
from tests.virtual_microphone import RAMP_SAMPLES, VirtualMicrophone


class Recorder:
    """Consumes a microphone in a thread."""

    def __init__(self, microphone: Microphone) -> None:
        self.microphone = microphone
        self.items: list[AudioBlock | AudioFault] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.wait_for_blocks(10)

    def _run(self) -> None:
        for item in self.microphone.blocks():
            self.items.append(item)

    @property
    def blocks(self) -> list[AudioBlock]:
        return [item for item in self.items if isinstance(item, AudioBlock)]

    @property
    def faults(self) -> list[str]:
        return [item.code for item in self.items if isinstance(item, AudioFault)]

    def wait_for_blocks(self, more: int) -> None:
        wanted = len(self.blocks) + more
        self._wait(lambda: len(self.blocks) >= wanted, f"{more} blocks")

    def wait_for_fault(self, code: str) -> None:
        self._wait(lambda: self.faults[-1:] == [code], code)

    def _wait(self, is_there: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_there():
            assert time.monotonic() < deadline, f"waited for {what}, got {self.faults}"
            assert self._thread.is_alive(), "the microphone ended by itself"
            time.sleep(0.02)

    def stop(self) -> None:
        self.microphone.close()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def recorder(virtual_microphone: VirtualMicrophone) -> Iterator[Recorder]:
    recorder = Recorder(Microphone(stall_s=PATIENCE_S, backoff_s=0.2))
    yield recorder
    recorder.stop()


def occurs(noise: Samples, blocks: list[AudioBlock]) -> bool:
    """Whether the blocks hold all of the noise, sample for sample."""
    heard = np.concatenate([block.samples for block in blocks])
    starts = np.flatnonzero(heard == noise[0])
    return any(np.array_equal(heard[at : at + len(noise)], noise) for at in starts)


def test_what_is_played_is_heard_sample_for_sample(
    virtual_microphone: VirtualMicrophone, recorder: Recorder, tmp_path: Path
) -> None:
    silence = np.zeros(3_200, np.int16)
    noise = np.random.default_rng(3).integers(-20_000, 20_000, 32_000).astype(np.int16)
    path = tmp_path / "noise.wav"
    soundfile.write(path, np.concatenate([silence, noise, silence]), 16_000)
    assert len(silence) > RAMP_SAMPLES
    # On a busy machine the player may run dry, and then the server itself plays gaps.
    for _ in range(20):
        virtual_microphone.play(path)
        recorder.wait_for_blocks(25)
        if occurs(noise, recorder.blocks):
            break
    recorder.stop()

    assert occurs(noise, recorder.blocks)
    assert {len(block.samples) for block in recorder.blocks} == {320}
    assert set(recorder.faults) <= {"audio_overflow"}
    assert recorder.microphone.restarts == 0


def test_of_alsas_plugins_only_that_of_the_device_stays_loaded(recorder: Recorder) -> None:
    maps = Path(f"/proc/{recorder.microphone.child_pid}/maps").read_text()
    recorder.stop()
    assert "libasound_module_pcm_pulse" in maps
    assert "libasound_module_pcm_a52" not in maps  # the one that brings libavcodec


OUTAGES = {
    "server frozen": (VirtualMicrophone.freeze, VirtualMicrophone.thaw),
    "server killed": (VirtualMicrophone.kill, VirtualMicrophone.start),
    "source unloaded": (VirtualMicrophone.unload, VirtualMicrophone.load),
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_is_told_survived_and_counted(
    virtual_microphone: VirtualMicrophone, outage: str
) -> None:
    began = time.monotonic()
    stall_s = 2.0 if outage == "server frozen" else PATIENCE_S  # PortAudio knows of the others
    recorder = Recorder(Microphone(stall_s=stall_s, backoff_s=0.2))
    begin, end = OUTAGES[outage]
    begin(virtual_microphone)
    recorder.wait_for_fault("audio_lost")
    time.sleep(0.5)
    end(virtual_microphone)
    recorder.wait_for_fault("audio_restored")
    recorder.wait_for_blocks(10)
    recorder.stop()
    lasted_s = time.monotonic() - began

    assert recorder.faults == ["audio_lost", "audio_restored"]
    assert recorder.microphone.restarts >= 1
    blocks = recorder.blocks
    gaps = np.array([after.first_sample - before.end_sample for before, after in pairwise(blocks)])
    assert gaps.min() == 0
    assert np.count_nonzero(gaps) == 1
    last, first = blocks[int(gaps.argmax())], blocks[int(gaps.argmax()) + 1]
    fault = next(item for item in recorder.items if getattr(item, "code", "") == "audio_restored")
    assert recorder.items[recorder.items.index(fault) + 1] is first
    assert 0.4 < gaps.max() / 16_000 < lasted_s
    stream_s = (first.end_sample - last.end_sample) / 16_000
    assert stream_s == pytest.approx(first.captured_at - last.captured_at, abs=0.001)


def test_a_killed_capture_process_is_replaced(recorder: Recorder) -> None:
    pid = recorder.microphone.child_pid
    subprocess.run(["kill", "-9", str(pid)], check=True)
    recorder.wait_for_fault("audio_restored")
    recorder.wait_for_blocks(5)
    assert recorder.faults == ["audio_lost", "audio_restored"]
    assert recorder.microphone.child_pid != pid


def test_a_capture_process_stuck_in_portaudio_ends_with_its_parent(
    virtual_microphone: VirtualMicrophone,
) -> None:
    program = (
        "from edgeser.audio.microphone import Microphone\n"
        "microphone = Microphone(stall_s=600)\n"
        "for _ in microphone.blocks(): print(microphone.child_pid, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = Path("/proc") / parent.stdout.readline().decode().strip()
        virtual_microphone.freeze()
        time.sleep(0.3)
        parent.kill()
    until(lambda: not _is_running(child))


def _is_running(process: Path) -> bool:
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # where nobody collects orphans, they stay as zombies


def test_devices_are_listed_and_chosen_by_part_of_a_name(
    virtual_microphone: VirtualMicrophone,
) -> None:
    names = [device.name for device in input_devices()]
    assert {"pulse", "default"} <= set(names)
    recorder = Recorder(Microphone("PUL"))
    assert recorder.microphone.opened is not None
    assert recorder.microphone.opened["device"] == "pulse"
    recorder.stop()
    with pytest.raises(SourceError, match=r"no input device 'nosuch'; there are: .*pulse"):
        next(iter(Microphone("nosuch").blocks()))
