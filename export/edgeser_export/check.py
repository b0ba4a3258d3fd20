"""Checks that an existing artefact matches its checkpoint, long after the export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import onnx

from edgeser.bench.sound import samples_of
from edgeser.errors import UserError
from edgeser.features.front_end import Floats
from edgeser.folder import files_below
from edgeser.model.artefact import WAVEFORM_KEY, ArtefactInfo, Golden, info_from_metadata
from edgeser.model.onnx_file import read_onnx
from edgeser.pcm import Samples
from edgeser.regular_file import regular
from edgeser_export.golden import golden_pieces
from edgeser_export.onnx_export import centring_with, golden_of
from edgeser_export.record import UNCALIBRATED, Calibration, record_of
from edgeser_export.streaming import layout_of
from edgeser_export.verify import Difference, longest_frames, torch_logits, verify
from edgeser_export.waveform_info import (
    WaveformInfo,
    verify_waveform,
    waveform_golden,
    with_shift,
)
from edgeser_train.evaluation.report import Report
from edgeser_train.models.scoring import utterance_pieces
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.training.checkpoint import Origin

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
MAX_SOUNDS = 50
_GOLDEN_TOLERANCE = 1e-3
_GIVE_OPTIONS = (
    "give the --report, --strangers, --temperature and --abstain-below that it was exported with, "
    "or export it again"
)


@dataclass(frozen=True)
class CheckResult:
    """``difference``: the largest of a logit from the checkpoint's, and where it was seen;
    ``not_compared``: metadata that could not be compared without more export options.
    """

    difference: Difference
    not_compared: list[str]


def check(
    path: Path,
    model: SpeechModel,
    origin: Origin,
    sounds: Sequence[Path],
    seed: int,
    given: Calibration = UNCALIBRATED,
) -> CheckResult:
    """Compare a file's graph, contract, golden vectors, record and calibration with a checkpoint's.

    ``sounds``: files and folders of real speech to compare on as well; ``seed``: of the random
    batch sizes, lengths and choice of sounds; ``given``: what the file was exported with, as far as
    known. Without a report, figures and calibration are compared only if the file says that it was
    not evaluated, or the rest gives them.
    Raises UserError when the file is no artefact, contradicts its checkpoint, or differs from it by
    more than its precision allows.
    """
    content, metadata = _opened(path)
    samples = read_sounds(sounds, seed)
    info = _info_of(metadata, path)
    _same_contract(path, info, origin)
    evaluated = _same_record(path, info, origin, given.report)
    left_out = [] if evaluated else ["figures"]
    left_out += _same_calibration(path, info, model, origin, given, whole=evaluated)
    if isinstance(info, WaveformInfo):
        return CheckResult(_waveform_difference(path, content, info, model, samples), left_out)
    _same_precision(path, info, content)
    _same(path, "streaming", info.streaming, layout_of(model))
    recipe = origin.recipe
    pieces = [*golden_pieces(recipe.front_end, recipe.window), *_pieces(samples, model, origin)]
    found = verify(
        content,
        model,
        longest=longest_frames(recipe.front_end, recipe.window),
        precision=info.precision,
        pieces=pieces,
        seed=seed,
        layout=info.streaming,
    )
    golden = golden_of(content, model, origin, info.precision, info.temperature)
    _same_golden(path, info.golden, golden)
    return CheckResult(found, left_out)


def read_sounds(paths: Iterable[Path], seed: int) -> list[Samples]:
    """Sound files, and up to 50 random ones of each folder, as int16 at 16 kHz."""
    rng = np.random.default_rng(seed)
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in files_below(path) if p.suffix.lower() in SUFFIXES)
            if not found:
                raise UserError(f"--sounds {path}: no {', '.join(SUFFIXES)} in it")
            files += [found[i] for i in rng.permutation(len(found))[:MAX_SOUNDS]]
        else:
            files.append(path)
    return [samples_of(file) for file in files]


def _opened(path: Path) -> tuple[bytes, dict[str, str]]:
    try:
        content = regular(path).read_bytes()
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


def _info_of(metadata: dict[str, str], path: Path) -> ArtefactInfo | WaveformInfo:
    if WAVEFORM_KEY not in metadata:
        return info_from_metadata(metadata, path)
    try:
        return msgspec.json.decode(metadata[WAVEFORM_KEY], type=WaveformInfo)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UserError(f"model {path}: bad metadata: {error}", "export it again") from error


def _waveform_difference(
    path: Path, content: bytes, info: WaveformInfo, model: SpeechModel, sounds: list[Samples]
) -> Difference:
    front_end = info.front_end
    for field in ("sample_rate", "hop", "history"):
        _same(path, field, getattr(info, field), getattr(front_end, field), "its front end")
    _same(path, "min_frames", info.min_frames, model.min_frames)
    network = with_shift(partial(torch_logits, model), info)
    found = verify_waveform(content, network, info, sounds)
    _same_golden(path, info.golden, waveform_golden(network, info))
    return found


def _same_contract(path: Path, info: ArtefactInfo | WaveformInfo, origin: Origin) -> None:
    recipe = origin.recipe
    _same(path, "labels", info.labels, origin.labels)
    _same(path, "front end", info.front_end, recipe.front_end)
    _same(path, "window policy", info.window, recipe.window)


def _same_record(
    path: Path, info: ArtefactInfo | WaveformInfo, origin: Origin, report: Report | None
) -> bool:
    """Compare the training records; return whether the figures could be compared."""
    mine, theirs = info.training, record_of(origin, report)
    whole = report is not None or mine.protocol == theirs.protocol
    fields = mine.__struct_fields__ if whole else ("corpora", "licence", "date", "commit")
    if not mine.licences:  # an artefact from before these two fields
        fields = tuple(field for field in fields if field not in ("licences", "attribution"))
    source = "the checkpoint" if report is None else "checkpoint and report"
    for field in fields:
        _same(path, field, getattr(mine, field), getattr(theirs, field), source)
    return whole


def _same_calibration(
    path: Path,
    info: ArtefactInfo | WaveformInfo,
    model: SpeechModel,
    origin: Origin,
    given: Calibration,
    *,
    whole: bool,
) -> list[str]:
    """Compare the calibration; return the fields that could not be compared. ``whole``: options
    not given now were not given at the export, either.
    """
    known = whole or given.strangers is not None
    has_temperature = known or given.own_temperature is not None
    has_threshold = known or given.own_threshold is not None
    options = [
        ("temperature", info.temperature, given.temperature, has_temperature),
        ("threshold", info.abstain_below, given.abstain_below, has_threshold),
    ]
    centring, expected = info.centring, centring_with(model, origin, given)
    _same(path, "centred by voice", centring is not None, expected is not None)
    if centring is not None and expected is not None:
        for field in ("prior", "own_frames", "most_frames"):
            _same(path, field, getattr(centring, field), getattr(expected, field))
        for field in ("known_scale", "stranger_shift"):
            options.append((field, getattr(centring, field), getattr(expected, field), known))
    for field, mine, theirs, can_compare in options:
        if can_compare:
            _same(path, field, mine, theirs, "an export with these options", _GIVE_OPTIONS)
    return [field for field, _, _, can_compare in options if not can_compare]


def _same_precision(path: Path, info: ArtefactInfo, content: bytes) -> None:
    _same(path, "precision", info.precision, read_onnx(content, path).precision, "its graph")


def _same(
    path: Path,
    what: str,
    mine: object,
    theirs: object,
    source: str = "the checkpoint",
    fix: str = "export it again",
) -> None:
    if mine != theirs:
        raise UserError(f"model {path}: {what}: it says {mine}, {source} {theirs}", fix)


def _same_golden(path: Path, held: list[Golden], expected: list[Golden]) -> None:
    found, wanted = (
        [(g.seed, g.seconds, len(g.scores)) for g in some] for some in (held, expected)
    )
    _same(path, "golden vectors (seed, seconds, scores)", found, wanted, "this edgeser")
    for mine, theirs in zip(held, expected, strict=True):
        apart = float(np.abs(np.array(mine.scores) - np.array(theirs.scores)).max())
        if not apart <= _GOLDEN_TOLERANCE:
            raise UserError(
                f"model {path}: its golden vector {mine.seed} is {apart:.1e} from the checkpoint's"
            )
