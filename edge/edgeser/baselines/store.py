"""The folder of baselines: one small file per stream, with means and counts, never sound."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import quote, unquote

import msgspec
import numpy as np

from edgeser.errors import UserError
from edgeser.events.wire.lock import FileLock, holder
from edgeser.features import FrontEnd
from edgeser.features.baseline import Baseline, is_possible
from edgeser.model.centring import LogitBaseline
from edgeser.whole_file import left_beside, whole_file

_SUFFIX = ".json"
_LOCK_SUFFIX = ".lock"
_LONGEST_BYTES = 1 << 20
_LONGEST_STEM = 255 - len(_SUFFIX)
"""A file's name has at most 255 bytes; both suffixes are equally long."""
_MAX_OTHERS = 7


class KeptUsual(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model's mean logits for the voice, over so many frames of speech."""

    model: str
    logits: list[float]
    frames: int


class KeptBaseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file's content.

    ``front_end``: fingerprint of the only front end that the baseline is valid for. ``mean_db``: a
    value for each band. ``frames``: of speech, ``frame_s`` apart. ``enrolled``: from recordings
    made on purpose, not learned by listening. ``kept_at``: Unix seconds. ``usual``: of the model
    that heard it last; None if its logits are not centred by voice. ``others``: the same voice's
    for other front ends and models, latest first; they have no others.
    """

    front_end: str
    mean_db: list[float]
    frames: int
    frame_s: float
    enrolled: bool
    kept_at: float
    usual: KeptUsual | None = None
    others: list[KeptBaseline] = []

    @property
    def speech_s(self) -> float:
        """Seconds of speech in the mean."""
        return self.frames * self.frame_s

    @property
    def baseline(self) -> Baseline:
        """The voice's mean spectrum."""
        return Baseline(np.array(self.mean_db, np.float32), self.frames)

    @property
    def logit_baseline(self) -> LogitBaseline | None:
        """The voice's mean logits from the model that heard it last."""
        if self.usual is None:
            return None
        logits = np.array(self.usual.logits, np.float32)
        return LogitBaseline(self.usual.model, Baseline(logits, self.usual.frames))


class Version(NamedTuple):
    """Tells one state of a file from another."""

    inode: int
    modified_ns: int


Found: TypeAlias = tuple[str, KeptBaseline]


class BaselineStore:
    """Reads, writes and removes baselines by the name of their stream."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        """``now``: Unix seconds."""
        self.folder = folder
        self._now = now

    def file(self, stream: str) -> Path:
        """Where a stream's baseline is, or would be."""
        return self.folder / f"{_stem(stream)}{_SUFFIX}"

    def lock(self, stream: str) -> FileLock:
        """Keep other daemons from a stream's baseline; enrolling and resetting need no lock.

        The lock's file belongs to the owner of the folder, whoever runs this, since a killed daemon
        leaves it there. Raises UserError if another daemon has the lock, and OSError.
        """
        self._make_folder()
        path = self.folder / f"{_stem(stream)}{_LOCK_SUFFIX}"
        try:
            lock = FileLock(path)
        except BlockingIOError:
            raise UserError(
                f"{self.file(stream)} is kept by {holder(path)}",
                "give each daemon a baseline.path of its own, or their streams other names",
            ) from None
        try:
            _give_as(self.folder, path)
        except OSError:
            lock.release()
            raise
        return lock

    def version(self, stream: str) -> Version | None:
        """Which state of the file is there; None where there is none."""
        try:
            facts = self.file(stream).stat()
        except FileNotFoundError:
            return None
        return Version(facts.st_ino, facts.st_mtime_ns)

    def load(self, stream: str, front_end: FrontEnd) -> Baseline | None:
        """The baseline of a stream for this front end; None where there is none for it.

        Raises UserError if the file is damaged or may not be read.
        """
        read, wanted = self.read(stream), fingerprint(front_end)
        found = () if read is None else (read, *read.others)
        kept = next((one for one in found if one.front_end == wanted), None)
        if kept is None:
            return None
        if len(kept.mean_db) != front_end.bins:
            raise _damaged(self.file(stream), f"{len(kept.mean_db)} bands")
        return kept.baseline

    def read(self, stream: str) -> KeptBaseline | None:
        """A file's content, whatever front end it is for: what was kept last, and the others.

        Raises UserError if it is damaged.
        """
        file = self.file(stream)
        try:
            with file.open("rb") as opened:
                content = opened.read(_LONGEST_BYTES)
            kept = msgspec.json.decode(content, type=KeptBaseline)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(
                f"baseline {file}: {error.strerror}", "let its owner read it"
            ) from error
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise _damaged(file, str(error)) from error
        if not all(_is_possible(one) for one in (kept, *kept.others)):
            raise _damaged(file, "impossible values")
        return kept

    def save(
        self,
        stream: str,
        front_end: FrontEnd,
        baseline: Baseline,
        usual: LogitBaseline | None = None,
        *,
        enrolled: bool = False,
    ) -> Version:
        """Save a voice's mean spectrum, and a model's mean logits for it.

        What is kept for other front ends and models stays. The file is replaced atomically, and
        belongs to the owner of the folder, whoever runs this. Raises OSError.
        """
        kept = KeptBaseline(
            front_end=fingerprint(front_end),
            mean_db=[round(float(value), 4) for value in baseline.mean],
            frames=baseline.frames,
            frame_s=front_end.hop / front_end.sample_rate,
            enrolled=enrolled,
            kept_at=round(self._now(), 3),
            usual=None if usual is None else _kept(usual),
            others=self._others(stream, front_end, usual),
        )
        self._make_folder()
        file = self.file(stream)
        with whole_file(file, 0o600) as opened:
            owner = self.folder.stat()
            if os.geteuid() == 0:
                os.fchown(opened.fileno(), owner.st_uid, owner.st_gid)
            opened.write(msgspec.json.encode(kept))
            opened.flush()
            facts = os.fstat(opened.fileno())
        return Version(facts.st_ino, facts.st_mtime_ns)

    def _make_folder(self) -> None:
        """Make the folder, which belongs to the owner of the one above, whoever runs this."""
        if self.folder.is_dir():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _give_as(self.folder.parent, self.folder)

    def _others(
        self, stream: str, front_end: FrontEnd, usual: LogitBaseline | None
    ) -> list[KeptBaseline]:
        """What is kept of a stream for others; nothing if the file is damaged."""
        try:
            kept = self.read(stream)
        except UserError:
            return []
        found = [] if kept is None else [msgspec.structs.replace(kept, others=[]), *kept.others]
        own, model = fingerprint(front_end), None if usual is None else usual.model
        return [
            one
            for one in found
            if one.front_end != own or (one.usual is not None and one.usual.model != model)
        ][:_MAX_OTHERS]

    def remove(self, stream: str) -> bool:
        """Forget a stream's voice; whether there was anything to forget. Raises OSError."""
        file = self.file(stream)
        for left in left_beside(file):
            left.unlink(missing_ok=True)
        try:
            file.unlink()
        except FileNotFoundError:
            return False
        return True

    def streams(self) -> Iterator[str]:
        """Names of the streams that have a baseline, sorted. Raises OSError.

        A name too long for a file is shortened; the other methods know it by that name, too.
        """
        with suppress(FileNotFoundError):
            for file in sorted(self.folder.iterdir()):
                if file.suffix == _SUFFIX:
                    yield unquote(file.stem)


def _give_as(folder: Path, path: Path) -> None:
    """As root, give a path to the owner of a folder."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _stem(stream: str) -> str:
    """The file's name without its suffix: ASCII, and different for different streams."""
    stem = _escaped(stream)
    if len(stem) <= _LONGEST_STEM:
        return stem
    mark = f"~{hashlib.sha256(stream.encode()).hexdigest()[:16]}"
    while len(stem) > _LONGEST_STEM - len(mark):
        stream = stream[:-1]
        stem = _escaped(stream)
    return stem + mark


def _escaped(stream: str) -> str:
    # A leading dot would hide it, and "." and ".." are no file names.
    return quote(stream, safe=" ").replace(".", "%2E")


def fingerprint(front_end: FrontEnd) -> str:
    """Equal for front ends whose frames can be compared."""
    return hashlib.sha256(msgspec.json.encode(front_end)).hexdigest()[:16]


def _is_possible(kept: KeptBaseline) -> bool:
    usual = kept.usual
    values = kept.mean_db if usual is None else [*kept.mean_db, *usual.logits]
    frames = kept.frames if usual is None else min(kept.frames, usual.frames)
    return frames >= 0 and kept.frame_s > 0 and is_possible(values)


def _kept(usual: LogitBaseline) -> KeptUsual:
    logits = [round(float(value), 6) for value in usual.logits.mean]
    return KeptUsual(usual.model, logits, usual.logits.frames)


def _damaged(file: Path, what: str) -> UserError:
    return UserError(
        f"baseline {file}: damaged ({what})", "remove it with 'edgeser baseline reset'"
    )
