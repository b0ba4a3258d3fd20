"""An engine is built for every shape that the runtime can ask for, and for no other."""

from __future__ import annotations

import numpy as np
import pytest

from edgeser.features import FrontEnd, WindowPolicy
from edgeser.features.pieces import pieces_of
from edgeser.model.artefact import ArtefactInfo, Estimate, Golden, TrainingRecord
from edgeser.model.backends.tensorrt.shapes import Shapes, shapes_of, sized
from edgeser.model.model import load_model
from edgeser.model.network import MAX_BATCH
from edgeser.model.streams import MAX_BLOCKS

POLICIES = {
    "whole": (WindowPolicy(), Shapes(50, 300, 700, 4, 4)),
    "centre": (WindowPolicy(max_seconds=9.0, cut="centre", frames=320), Shapes(50, 300, 350, 4, 4)),
    "filled": (
        WindowPolicy(cut="centre", frames=600, fill=True, pad_frames=1),
        Shapes(600, 600, 600, 4, 4),
    ),
    "segments": (
        WindowPolicy(cut="segments", frames=200, hop_frames=100),
        Shapes(50, 200, 200, 4, 4),
    ),
    "uneven": (
        WindowPolicy(seconds=2.0, max_seconds=5.02, pad_frames=64),
        Shapes(64, 256, 512, 4, 4),
    ),
}


def info_of(window: WindowPolicy) -> ArtefactInfo:
    none = Estimate(0.0, 0.0, 1.0)
    record = TrainingRecord([], "", "", none, none, none, 0.0, "", "")
    return ArtefactInfo(
        name="m",
        version="1",
        labels=["a", "b"],
        front_end=FrontEnd(),
        window=window,
        inputs=[],
        outputs=[],
        temperature=1.0,
        abstain_below=0.0,
        training=record,
        golden=[Golden(1, 1.0, [0.5, 0.5])],
    )


@pytest.mark.parametrize(("window", "expected"), POLICIES.values(), ids=POLICIES)
def test_shapes_of_a_policy(window: WindowPolicy, expected: Shapes) -> None:
    assert shapes_of(info_of(window), 4) == expected


def test_kernels_are_chosen_for_as_many_as_the_daemon_runs_at_once() -> None:
    assert shapes_of(info_of(WindowPolicy()), 64).usual == MAX_BATCH
    assert shapes_of(load_model("streaming6").info, 64).usual == MAX_BLOCKS


def test_blocks_of_a_stream_have_one_length() -> None:
    info = load_model("streaming6").info
    assert shapes_of(info, 8) == Shapes(25, 25, 25, 8, 8)
    state = next(tensor for tensor in info.inputs if tensor.name == "state")
    assert info.streaming is not None
    assert sized(state, 8, 25) == (8, info.streaming.state)


@pytest.mark.parametrize("window", [window for window, _ in POLICIES.values()], ids=POLICIES)
def test_every_piece_of_every_window_fits(window: WindowPolicy) -> None:
    shapes, front_end = shapes_of(info_of(window), 1), FrontEnd()
    longest = front_end.frame_count(round(window.max_seconds * front_end.sample_rate))
    seen = set()
    for count in {1, 2, 49, 50, 51, 99, 100, 101, 199, 201, 319, 321, 599, longest - 1, longest}:
        frames = np.zeros((min(count, longest), front_end.bins), np.float32)
        for piece in pieces_of(frames, front_end, window):
            padded = -(-len(piece) // window.pad_frames) * window.pad_frames
            assert shapes.shortest <= padded <= shapes.longest
            seen.add(padded)
    assert {min(seen), max(seen)} == {shapes.shortest, shapes.longest}
