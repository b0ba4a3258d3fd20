"""A microphone without hardware: a PulseAudio server whose null sink is played into and recorded.

A test that asks for the fixture ``virtual_microphone`` gets a running server with its own home and
runtime folder; it is skipped, with the reason, where the Debian packages are missing. The samples
PortAudio captures are those that were played, to the bit, but for the first few (a ramp).
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

PACKAGES = "pulseaudio pulseaudio-utils libportaudio2 libasound2-plugins"
RAMP_SAMPLES = 400
"""Play this much silence first: PulseAudio fades the first samples of a stream in."""


def why_unavailable() -> str | None:
    """What is missing on this machine, or None where the virtual microphone can run."""
    programs = [p for p in ("pulseaudio", "pactl", "paplay", "parec") if shutil.which(p) is None]
    if ctypes.util.find_library("portaudio") is None:
        programs.append("libportaudio")
    if not list(Path("/usr/lib").glob("**/alsa-lib/libasound_module_pcm_pulse.so")):
        programs.append("ALSA's pulse plugin")
    if programs:
        return f"no {', '.join(programs)}: apt-get install {PACKAGES}"
    return None


class VirtualMicrophone:
    """A PulseAudio server with one sink, whose monitor is the default source of this environment.

    ``environment``: variables that make PortAudio (and ``pactl``) of a process find this
    microphone; its PortAudio device names are ``pulse`` and ``default``.
    """

    def __init__(self) -> None:
        # A short path: a socket's name holds 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="vmic-"))
        for name in ("home", "run"):
            (self._folder / name).mkdir(mode=0o700)
        self.environment = {
            "HOME": str(self._folder / "home"),
            "XDG_RUNTIME_DIR": str(self._folder / "run"),
            "PULSE_SERVER": f"unix:{self._folder / 'run/pulse/native'}",
            "PULSE_SOURCE": "mic.monitor",
        }
        self._server: subprocess.Popen[bytes] | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._module = ""

    def start(self) -> None:
        """Start the server with the microphone in it, and return when both are there."""
        self._server = self._spawn(
            "pulseaudio",
            "-n",
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--disable-shm=yes",
            "--load=module-native-protocol-unix",
        )
        deadline = time.monotonic() + PATIENCE_S
        while self._pactl("info").returncode:
            if time.monotonic() > deadline:
                raise RuntimeError("pulseaudio did not answer")
            time.sleep(0.05)
        self.load()

    def load(self) -> None:
        """Plug the microphone in."""
        done = self._pactl("load-module module-null-sink sink_name=mic rate=16000 channels=1")
        done.check_returncode()
        self._module = done.stdout.strip()
        # Someone must listen: a suspended sink takes up to two seconds to give its first block.
        # With a lower latency than others ask for, the server would wake those more often, too.
        self._keeper = self._listen(latency_ms=100)

    def unload(self) -> None:
        """Unplug the microphone; the server stays."""
        _end(self._keeper)
        self._pactl(f"unload-module {self._module}").check_returncode()
        self._module = ""

    def offer(self, socket: Path) -> None:
        """Let others connect at ``socket`` too, until the server ends; they need its cookie."""
        self._pactl(f"load-module module-native-protocol-unix socket={socket}").check_returncode()
        socket.chmod(0o666)

    def freeze(self) -> None:
        """Stop the server in its tracks: connections stay open and give nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the server."""
        _end(self._keeper)
        _end(self._server)
        self._module = ""

    def mend(self) -> None:
        """Bring the microphone back from whatever a test did to it."""
        if self._server is None or self._server.poll() is not None:
            self.start()
        self.thaw()
        if not self._module:
            self.load()

    def play(self, path: Path) -> None:
        """Play a sound file into the microphone and return at its end."""
        playing = self.start_playing(path)
        if playing.wait(timeout=600):
            raise RuntimeError(f"paplay ended with {playing.returncode}")

    def start_playing(self, path: Path) -> subprocess.Popen[bytes]:
        """Begin to play a sound file into the microphone."""
        # Less than 0.2 s of buffer runs dry on a busy machine, which would put silence in between.
        return self._spawn("paplay", "--latency-msec=200", "--device=mic", str(path))

    @contextmanager
    def recording(self, path: Path) -> Iterator[None]:
        """Write what the microphone gives meanwhile to ``path``: mono int16 at 16 kHz, no header.

        It is what everyone who listens hears, with the gaps of a player that ran dry.
        """
        recorder = self._listen(path, latency_ms=10)
        try:
            yield
        finally:
            recorder.terminate()
            recorder.wait()

    def stop(self) -> None:
        """Kill the server and delete its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self, *to: Path, latency_ms: int) -> subprocess.Popen[bytes]:
        return self._spawn(
            "parec",
            f"--latency-msec={latency_ms}",
            "--device=mic.monitor",
            "--rate=16000",
            "--channels=1",
            "--format=s16le",
            *map(str, to),
        )

    def _signal(self, number: int) -> None:
        assert self._server is not None
        self._server.send_signal(number)

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _pactl(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pactl", *command.split()],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def pulse_server() -> Iterator[VirtualMicrophone]:
    """The one server of this test session."""
    if reason := why_unavailable():
        pytest.skip(reason)
    microphone = VirtualMicrophone()
    try:
        microphone.start()
        yield microphone
    finally:
        microphone.stop()


@pytest.fixture
def virtual_microphone(
    pulse_server: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
) -> Iterator[VirtualMicrophone]:
    """A working virtual microphone, the default input device of this process and its children."""
    pulse_server.mend()
    for name, value in pulse_server.environment.items():
        monkeypatch.setenv(name, value)
    yield pulse_server
    pulse_server.mend()
