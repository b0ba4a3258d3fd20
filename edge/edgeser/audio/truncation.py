"""Was a sound file cut off? libsndfile plays what is there and says nothing."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import soundfile

_STREAMED_SIZE = 0x7FFF_0000
"""A header that claims this many bytes or more was written for a pipe: the length is unknown."""

_LENGTH_TOLERANCE_S = 0.1
"""Without a length in its header, the length of an MP3 is only an estimate."""

_OGG_TAIL_BYTES = 65_536 + 282
"""The longest page of an Ogg stream."""


def is_cut_off(sound: soundfile.SoundFile, fd: int) -> bool:
    """True when the file promises more than it holds, as far as that shows before reading it.

    ``fd``: the open file ``sound`` reads from; its position is left alone.
    """
    if sound.format == "OGG":
        return not _ogg_ends(fd)
    # libsndfile corrects the length silently, but for a line in its log.
    sizes = re.findall(r": (\d+) \(should be (\d+)\)", sound.extra_info)
    return any(int(held) < int(claimed) < _STREAMED_SIZE for claimed, held in sizes)


def breaks_off(sound: soundfile.SoundFile, frames: int) -> bool:
    """True when the file promises more than these ``frames``, which were all that could be read."""
    return bool(sound.frames - frames > _LENGTH_TOLERANCE_S * sound.samplerate)


def _ogg_ends(fd: int) -> bool:
    """Whether the last page carries the end-of-stream flag (RFC 3533, section 6)."""
    size = os.fstat(fd).st_size
    tail = os.pread(fd, _OGG_TAIL_BYTES, max(0, size - _OGG_TAIL_BYTES))
    page = tail.rfind(b"OggS")
    return page >= 0 and len(tail) > page + 5 and bool(tail[page + 5] & 4)
