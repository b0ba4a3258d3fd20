"""How far an open segment can look ahead: which frames change nothing, and when a chunk is awaited.

Work that can wait is done in batches, which costs less and delays no output.
"""

from __future__ import annotations

from edgeser.speech.config import SegmenterConfig
from edgeser.speech.open_segment import OpenSegment
from edgeser.speech.room import AWAITED_FRAMES


def calm_until(segment: OpenSegment, config: SegmenterConfig) -> int:
    """The next frame that may produce an output; those before it cannot. 0 if unknown.

    It is known for an announced segment, from when its next window is full and when it could end or
    be cut at the earliest.
    """
    if not segment.confirmed:
        return 0
    frame = segment.next_frame
    length = frame - segment.start
    until_window = config.window_minimum - length
    if until_window <= 0:
        until_window = config.hop - -until_window % config.hop
    until_end = segment.last_speech + config.end + 1 - frame
    until_output = min(until_window, until_end, config.maximum - length)
    if config.confirm is not None:
        until_output = min(until_output, segment.evidence.ends_at + 1 - frame)
    if segment.voice_driven:  # it needs the voice detector every few frames
        until_output = min(until_output, segment.evidence.scored_until + AWAITED_FRAMES - frame)
    return frame + max(0, until_output - 1)


def awaits_every_chunk(segment: OpenSegment, config: SegmenterConfig) -> bool:
    """Whether the voice detector must score everything up to the end of the next frame.

    The frame may decide whether the segment is announced, whether its voice has ended, or goes on
    after a cut; or it is the last one before a possible output, which states a probability. Where
    the voice detector alone begins or ends a segment, it runs every few frames.
    """
    frame = segment.next_frame
    decides_alone = segment.voice_driven or (segment.knows_room and not segment.confirmed)
    if decides_alone and frame + 1 - segment.evidence.scored_until >= AWAITED_FRAMES:
        return True
    if frame + 1 < segment.calm_until:
        return False
    if segment.confirmed:
        is_cut = frame + 1 - segment.start >= config.maximum
        return is_cut or frame >= segment.evidence.ends_at or frame + 1 == segment.calm_until
    if frame - segment.last_speech >= config.end:
        return True
    return not segment.knows_room and segment.evidence.may_be_enough(frame)
