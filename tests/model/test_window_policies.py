"""Artefacts of every front end and window policy run, and give what plain NumPy gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from edgeser.audio.source import AudioBlock
from edgeser.features import FrontEnd, WindowPolicy
from edgeser.features.frames import raw_frames
from edgeser.hearing import Hearing
from edgeser.losses import Losses
from edgeser.model.artefact import METADATA_KEY, ArtefactError
from edgeser.model.golden import waveform
from edgeser.model.model import Model, load_model
from edgeser.recognizer import Recognizer
from edgeser.settings.schema import SpeechSettings
from edgeser.window import Window
from edgeser_train.data.front_ends import ATTENTION_POOLING, LIGHTWEIGHT, PCNSE, WAVEFORM, eca
from tests.model.artefacts import SmallNetwork, write_artefact
from tests.sounds import monologue, silence

Frames = np.ndarray


@dataclass
class Case:
    """``pieces``: where raw frames are cut, by hand; ``faults``: changes that must be noticed."""

    front_end: FrontEnd
    window: WindowPolicy
    pieces: Callable[[Frames], list[Frames]]
    faults: list[dict[str, dict[str, object]]]


def whole(frames: Frames) -> list[Frames]:
    return [frames]


def centre_300(frames: Frames) -> list[Frames]:
    if len(frames) >= 300:
        first = (len(frames) - 300) // 2
        return [frames[first : first + 300]]
    front = (300 - len(frames)) // 2
    behind = 300 - len(frames) - front
    return [np.pad(frames, ((front, behind), (0, 0)), constant_values=-100)]


def two_seconds(frames: Frames) -> list[Frames]:
    pieces, start = [frames[:200]], 40
    while start + 200 <= len(frames):
        pieces.append(frames[start : start + 200])
        start += 40
    if len(frames) > 200 and start - 40 + 200 < len(frames):
        pieces.append(frames[-200:])
    return pieces


CASES = {
    "whole": Case(
        LIGHTWEIGHT,
        WindowPolicy(),
        whole,
        [
            {"front_end": {"f_max": 7600.0}},
            {"front_end": {"lookback": 640}},
            {"front_end": {"mel_scale": "htk"}},
            {"window": {"cut": "centre", "frames": 200}},
        ],
    ),
    "centre": Case(
        eca(8, "level"),
        WindowPolicy(cut="centre", frames=300, fill=True),
        centre_300,
        [
            {"front_end": {"mel_scale": "slaney"}},
            {"front_end": {"lookback": 800}},
            {"front_end": {"range_db": 60.0}},
            {"window": {"fill": False}},
            {"window": {"frames": 298}},
        ],
    ),
    "segments": Case(
        ATTENTION_POOLING,
        WindowPolicy(cut="segments", frames=200, hop_frames=40),
        two_seconds,
        [
            {"front_end": {"scale": "db"}},
            {"front_end": {"lookback": 640}},
            {"window": {"hop_frames": 60}},
            {"window": {"frames": 180}},
        ],
    ),
    "deltas": Case(
        PCNSE,
        WindowPolicy(cut="segments", frames=200, hop_frames=40),
        two_seconds,
        [
            {"front_end": {"deltas": 2}},
            {"front_end": {"pre_emphasis": 0.0}},
            {"front_end": {"lookback": 400}},
            {"front_end": {"scale": "db"}},
        ],
    ),
    "waveform": Case(
        WAVEFORM,
        WindowPolicy(pad_frames=25),
        whole,
        [{"window": {"cut": "centre", "frames": 40}}],
    ),
}
every_case = pytest.mark.parametrize("name", CASES)


def direct(case: Case, network: SmallNetwork, frames: Frames) -> np.ndarray:
    """Scores of one window of raw frames."""
    return network.scores([case.front_end.normalised(piece) for piece in case.pieces(frames)])


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("artefacts")
    found = {}
    for name, case in CASES.items():
        spec, network = case.front_end, SmallNetwork(case.front_end.width)
        found[name] = folder / f"{name}.onnx"
        write_artefact(
            found[name],
            spec,
            case.window,
            lambda sound, c=case, n=network: direct(c, n, raw_frames(sound, c.front_end)),
        )
    return found


@pytest.fixture(scope="module")
def models(paths: dict[str, Path]) -> dict[str, Model]:
    return {name: load_model(str(path)) for name, path in paths.items()}


@every_case
def test_an_artefact_gives_what_numpy_gives(name: str, models: dict[str, Model]) -> None:
    model = models[name]
    assert model.verify() < 1e-4


@every_case
def test_a_batch_of_mixed_windows_equals_each_alone(name: str, models: dict[str, Model]) -> None:
    model = models[name]
    windows = [model.pieces(waveform(seed, s)) for seed, s in ((1, 2.0), (2, 4.5), (3, 0.7))]
    together = model.scores(windows)
    alone = np.concatenate([model.scores([window]) for window in windows])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 0.01


@every_case
def test_a_stream_scores_its_windows_so(name: str, models: dict[str, Model]) -> None:
    model, case = models[name], CASES[name]
    hop = case.front_end.hop
    sound = np.concatenate((silence(0.5), monologue(9.0), silence(1.0)))
    hearing = Hearing("test", model, SpeechSettings(), Losses())
    windows: list[Window] = []
    position = 0
    for block in np.split(sound, np.arange(1237, len(sound), 1237)):
        heard = hearing.push(AudioBlock(block, position, 0.0))
        windows += [output for output in heard if isinstance(output, Window)]
        position += len(block)
    windows += [output for output in hearing.finish() if isinstance(output, Window)]
    frames = raw_frames(sound, case.front_end)
    finals = [window for window in windows if window.kind == "final"]
    assert len(finals) >= 2
    assert len(windows) > 10
    network = SmallNetwork(case.front_end.width)
    for window, scores in zip(windows, model.scores([w.speech for w in windows]), strict=True):
        expected = direct(case, network, frames[window.start // hop : window.end // hop])
        np.testing.assert_allclose(scores, expected, atol=1e-3)
    events = list(Recognizer(model).samples(sound))
    assert [(e.start, e.end) for e in events] == [
        (w.start / 16_000, w.end / 16_000) for w in finals
    ]
    for event, window in zip(events, finals, strict=True):
        scores = list(event.scores.values())
        np.testing.assert_allclose(scores, model.scores([window.speech])[0], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name, case in CASES.items() for fault in case.faults]
)
def test_golden_vectors_catch(
    name: str, fault: dict[str, dict[str, object]], paths: dict[str, Path], tmp_path: Path
) -> None:
    graph = onnx.load(paths[name])
    (entry,) = [p for p in graph.metadata_props if p.key == METADATA_KEY]
    tree = msgspec.json.decode(entry.value)
    for part, change in fault.items():
        tree[part].update(change)
    entry.value = msgspec.json.encode(tree).decode()
    onnx.save(graph, tmp_path / "changed.onnx")
    with pytest.raises(ArtefactError, match="deviates from its golden vectors"):
        load_model(str(tmp_path / "changed.onnx"))


@every_case
def test_golden_vectors_catch_swapped_labels(
    name: str, paths: dict[str, Path], tmp_path: Path
) -> None:
    graph = onnx.load(paths[name])
    (weights,) = [tensor for tensor in graph.graph.initializer if tensor.name == "weights"]
    swapped = onnx.numpy_helper.to_array(weights)[:, [1, 0, 2]]
    weights.CopyFrom(onnx.numpy_helper.from_array(swapped, "weights"))
    onnx.save(graph, tmp_path / "swapped.onnx")
    with pytest.raises(ArtefactError, match="deviates from its golden vectors"):
        load_model(str(tmp_path / "swapped.onnx"))
