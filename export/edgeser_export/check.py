"""Is an artefact what its checkpoint says? Asked of the file, long after the export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx

from edgeser.audio.file import FileSource
from edgeser.audio.source import AudioBlock, Samples
from edgeser.errors import UserError
from edgeser.features.front_end import Floats
from edgeser.model.artefact import WAVEFORM_KEY, ArtefactInfo, Golden, info_from_metadata
from edgeser_export.golden import golden_pieces, golden_vectors
from edgeser_export.onnx_export import reference
from edgeser_export.verify import Difference, longest_frames, verify
from edgeser_export.waveform import WaveformModel
from edgeser_export.waveform_info import WaveformInfo, verify_waveform, waveform_golden
from edgeser_train.checkpoint import Origin
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.scoring import utterance_pieces

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
MOST_SOUNDS = 50
_GOLDEN_TOLERANCE = 1e-3


def check(
    path: Path, model: SpeechModel, origin: Origin, sounds: Sequence[Path], seed: int
) -> Difference:
    """The largest difference of a logit of the file from the checkpoint's, and where it was seen.

    ``sounds``: files and folders of real speech to compare on as well; ``seed``: of the random
    batch sizes, lengths and choice of sounds. Raises UserError when the file is no artefact, is of
    another front end, window policy or set of labels, or differs by more than its precision may.
    """
    content, metadata = _opened(path)
    heard = read_sounds(sounds, seed)
    if WAVEFORM_KEY in metadata:
        return _check_waveform(path, content, metadata[WAVEFORM_KEY], model, origin, heard)
    info = info_from_metadata(metadata, path)
    _same_contract(path, info, origin)
    recipe = origin.recipe
    pieces = [*golden_pieces(recipe.front_end, recipe.window), *_pieces(heard, model, origin)]
    found = verify(
        content,
        model,
        longest=longest_frames(recipe.front_end, recipe.window),
        precision=info.precision,
        pieces=pieces,
        seed=seed,
    )
    network = reference(model, content, info.precision)
    golden = golden_vectors(network, recipe.front_end, recipe.window, info.temperature)
    _same_golden(path, info.golden, golden)
    return found


def read_sounds(paths: Iterable[Path], seed: int) -> list[Samples]:
    """Sound files, and up to 50 random ones of each folder, as int16 at 16 kHz."""
    rng = np.random.default_rng(seed)
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not found:
                raise UserError(f"--sounds {path}: no {', '.join(SUFFIXES)} in it")
            files += [found[i] for i in rng.permutation(len(found))[:MOST_SOUNDS]]
        else:
            files.append(path)
    return [_samples(file) for file in files]


def _samples(path: Path) -> Samples:
    items = FileSource(path, fast=True).blocks()
    blocks = [item.samples for item in items if isinstance(item, AudioBlock)]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.int16)


def _opened(path: Path) -> tuple[bytes, dict[str, str]]:
    try:
        content = path.read_bytes()
        graph = onnx.load_from_string(content)
    except OSError as error:
        raise UserError(f"model {path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # protobuf's own exceptions share no base class
        raise UserError(f"model {path}: not an ONNX file: {error}") from error
    return content, {entry.key: entry.value for entry in graph.metadata_props}


def _pieces(sounds: list[Samples], model: SpeechModel, origin: Origin) -> list[Floats]:
    recipe = origin.recipe
    return [
        piece
        for sound in sounds
        for piece in utterance_pieces(sound, recipe.front_end, recipe.window, model.min_frames)
    ]


def _check_waveform(
    path: Path,
    content: bytes,
    metadata: str,
    model: SpeechModel,
    origin: Origin,
    sounds: list[Samples],
) -> Difference:
    try:
        info = msgspec.json.decode(metadata, type=WaveformInfo)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UserError(f"model {path}: bad metadata: {error}; export it again") from error
    _same_contract(path, info, origin)
    recipe = origin.recipe
    network = WaveformModel(model, recipe.front_end, recipe.window, info.temperature)
    found = verify_waveform(content, network, recipe.front_end, recipe.window, sounds)
    golden = waveform_golden(model, recipe.front_end, recipe.window, info.temperature)
    _same_golden(path, info.golden, golden)
    return found


def _same_contract(path: Path, info: ArtefactInfo | WaveformInfo, origin: Origin) -> None:
    recipe = origin.recipe
    for what, mine, theirs in (
        ("labels", info.labels, origin.labels),
        ("front end", info.front_end, recipe.front_end),
        ("window policy", info.window, recipe.window),
    ):
        if mine != theirs:
            raise UserError(f"model {path}: its {what} is not the checkpoint's: {mine}, {theirs}")


def _same_golden(path: Path, held: list[Golden], expected: list[Golden]) -> None:
    for mine, theirs in zip(held, expected, strict=True):
        apart = float(np.abs(np.array(mine.scores) - np.array(theirs.scores)).max())
        if not apart <= _GOLDEN_TOLERANCE:
            raise UserError(
                f"model {path}: its golden vector {mine.seed} is {apart:.1e} from the checkpoint's"
            )
