"""Broken settings, broken sound files and garbage on standard input: no crash, no hang.

python tests/trials/fuzz_files.py [--times 10000]

Each file is a good one with bytes changed, cut out, doubled or random. It must be taken or refused
with a UserError; anything else ends this command with the file that did it. What is read goes
through the speech detector and segmenter as in the daemon.
"""

from __future__ import annotations

import io
import os
import resource
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import soundfile

from benchmarks import script
from edgeser import load_model
from edgeser.audio.file import FileSource
from edgeser.audio.source import AudioBlock, Source
from edgeser.audio.stdin import RawSource
from edgeser.bench import SPEECH_FILE
from edgeser.errors import UserError
from edgeser.hearing import Hearing
from edgeser.losses import Losses
from edgeser.settings.load import load_settings
from edgeser.settings.schema import SpeechSettings

SETTINGS = Path(__file__).parents[2] / "systemd" / "edgeser.toml"
FORMATS = (("wav", "PCM_16"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("ogg", "VORBIS"))
HANGS_AFTER_S = 20
MODEL = load_model()


def main() -> bool:
    parser = script.parser_of(__doc__)
    parser.add_argument("--times", type=int, default=10_000, help="of each kind (sound: a tenth)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    for name, kind, times in (
        ("settings", settings, options.times),
        ("sound files", sounds(), options.times // 10),
        ("standard input", standard_input, options.times // 10),
    ):
        outcomes: Counter[str] = Counter()
        warm = 0.0
        for turn in range(times):
            data = kind(rng)
            if turn == times // 10:
                warm = resident_mb()
            watch = threading.Timer(HANGS_AFTER_S, hang, (name, data))
            watch.start()
            try:
                outcomes[take(name, data)] += 1
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {error}; see {keep(data)}")
                return False
            finally:
                watch.cancel()
        told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        print(f"{name}: {times} times, {told}; memory {resident_mb() - warm:+.1f} MB")
    return True


def settings(rng: np.random.Generator) -> bytes:
    text = SETTINGS.read_bytes().replace(b"\n# ", b"\n") if rng.random() < 0.5 else b""
    return mutated(text or SETTINGS.read_bytes(), rng)


def sounds() -> Callable[[np.random.Generator], bytes]:
    """A function that makes broken sound files from a second of speech in several formats."""
    samples, rate = soundfile.read(SPEECH_FILE, frames=16_000)
    good = []
    for kind, subtype in FORMATS:
        file = io.BytesIO()
        soundfile.write(file, samples, rate, subtype, format=kind)
        good.append(file.getvalue())
    return lambda rng: mutated(good[rng.integers(len(good))], rng)


def standard_input(rng: np.random.Generator) -> bytes:
    return rng.bytes(int(rng.integers(1, 40_000)))


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to eight random changes, most of them near the beginning, where headers are."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        reach = len(changed) if rng.random() < 0.5 else min(len(changed), 64)
        at = int(rng.integers(0, max(1, reach)))
        length = int(rng.integers(1, 16))
        match int(rng.integers(0, 4)):
            case 0:
                changed[at : at + length] = rng.bytes(length)
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = changed[at : at + length]
            case 3:
                del changed[at + length * 64 :]
    return bytes(changed)


def take(name: str, data: bytes) -> str:
    """Feed the data to its reader; return the outcome."""
    if name == "standard input":
        read, write = os.pipe()
        feeder = threading.Thread(target=feed, args=(write, data))
        feeder.start()
        with os.fdopen(read, "rb", buffering=0) as stream:
            outcome = heard(lambda: RawSource(stream))
        feeder.join()
        return outcome
    with tempfile.NamedTemporaryFile(suffix=".toml" if name == "settings" else ".wav") as file:
        file.write(data)
        file.flush()
        if name == "settings":
            try:
                load_settings(Path(file.name), {})
            except UserError as error:
                return refused(error)
            return "taken"
        return heard(lambda: FileSource(file.name, fast=True))


def feed(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as pipe:
        try:
            pipe.write(data)
        except BrokenPipeError:
            return  # refused before it was read


def heard(opened: Callable[[], Source]) -> str:
    hearing = Hearing("fuzz", MODEL, SpeechSettings(), Losses())
    faults = 0
    try:
        for item in opened().blocks():
            if isinstance(item, AudioBlock):
                hearing.push(item)
            else:
                faults += 1
        hearing.finish()
    except UserError as error:
        return refused(error)
    return "played with faults" if faults else "played"


def refused(error: UserError) -> str:
    if "\n" in str(error):
        raise ValueError(f"not one line: {error}")
    return "refused"


def hang(name: str, data: bytes) -> None:
    print(f"{name}: hangs; see {keep(data)}", flush=True)
    os._exit(1)


def keep(data: bytes) -> str:
    handle, path = tempfile.mkstemp(prefix="edgeser-fuzz-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return path


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    script.run(main)
