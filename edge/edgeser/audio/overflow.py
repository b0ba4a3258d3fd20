"""Reports samples that the device dropped, without flooding the log."""

from __future__ import annotations

from edgeser.audio.source import AudioFault
from edgeser.pcm import SAMPLE_RATE


class OverflowReport:
    """Aggregates overflows: the first is reported at once, those of the next ``every_s`` together.

    ``total``: overflows seen since the start. ``lost_samples``: what they cost, in samples.
    """

    def __init__(self, every_s: float) -> None:
        self.total = 0
        self.lost_samples = 0
        self._every_s = every_s
        self._reported = (0, 0)
        self._quiet_until = float("-inf")

    def count(self, lost_samples: int) -> None:
        """Note one overflow."""
        self.total += 1
        self.lost_samples += lost_samples

    def due(self, now: float) -> AudioFault | None:
        """The fault to publish at ``now`` (monotonic seconds), if there is one."""
        times, lost = self.total - self._reported[0], self.lost_samples - self._reported[1]
        if not times or now < self._quiet_until:
            return None
        self._reported = (self.total, self.lost_samples)
        self._quiet_until = now + self._every_s
        return AudioFault(
            "audio_overflow",
            f"the microphone dropped samples {times} time{'s' if times > 1 else ''}, about "
            f"{lost / SAMPLE_RATE:.3f} s of sound; {self.total} in all: the machine is too busy",
            recovered=True,
        )
