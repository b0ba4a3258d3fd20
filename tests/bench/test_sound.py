"""The sound that is played."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeser.bench import sound
from edgeser.bench.sound import samples_of
from edgeser.errors import UserError
from edgeser.pcm import SAMPLE_RATE
from tests.disks import small_disk  # noqa: F401
from tests.sounds import silence


def test_a_disk_that_is_full_while_sound_is_written_is_named(small_disk: Path) -> None:  # noqa: F811
    with pytest.raises(UserError, match=r"played\.wav: cannot be written .*; make room, or set TM"):
        sound.write(silence(10), small_disk / "played.wav", 3600)


def test_sound_is_repeated_for_so_long(tmp_path: Path) -> None:
    sample = np.arange(1000, dtype=np.int16)
    sound.write(sample, tmp_path / "played.wav", 0.15)
    played, _ = soundfile.read(tmp_path / "played.wav", dtype="int16")
    assert np.array_equal(played, np.resize(sample, 2400))


def test_a_sound_that_breaks_off_at_once_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "torn.flac"
    noise = np.random.default_rng(0).integers(-9000, 9000, SAMPLE_RATE)
    soundfile.write(path, noise.astype(np.int16), SAMPLE_RATE)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"torn\.flac: nothing in it can be read"):
        samples_of(path)
