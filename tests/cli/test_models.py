"""A model that cannot be had is refused in one line."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from edgeser.model.artefact import ArtefactError, model_path, shipped_models
from edgeser.model.model import load_model
from tests.model.test_model import rewritten
from tests.system.daemons import edgeser
from tests.unprivileged import unprivileged


def test_a_name_that_no_file_can_have() -> None:
    name = "n" * 300
    said = f"edgeser: model '{name}': cannot be read: File name too long"
    assert edgeser("models", name).refusal == said
    assert edgeser("run", "--model", name).refusal == said


def test_a_folder_that_may_not_be_entered(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    file = folder / "model.onnx"
    shipped_models()  # imports what nobody may not
    with unprivileged(), pytest.raises(ArtefactError) as raised:
        model_path(str(file))
    assert str(raised.value) == f"model '{file}': cannot be read: Permission denied"


def test_no_name_is_cut_on_a_narrow_terminal() -> None:
    listed = edgeser("models", env={**os.environ, "COLUMNS": "40"}).out
    assert all(f" {name} " in listed for name in shipped_models())


def test_a_model_that_was_not_evaluated_says_so(tmp_path: Path) -> None:
    unknown = {"value": 0.0, "low": 0.0, "high": 1.0}
    training = {**told("lightweight-emodb")["training"], "ua": unknown}
    said = edgeser("models", str(rewritten(tmp_path, {"training": training}))).out
    assert re.search("^own corpus +not evaluated$", said, re.MULTILINE)
    assert re.search("^unseen corpora +not evaluated$", said, re.MULTILINE)


def test_what_a_file_says_of_itself_does_nothing_to_the_terminal(tmp_path: Path) -> None:
    said = edgeser("models", str(rewritten(tmp_path, {"version": "1\x1b]0;x\x07\nsha256  0"}))).out
    assert r" 1\x1b]0;x\x07\nsha256  0" in said.splitlines()[0]


def test_models_are_compared_by_how_they_do_with_unknown_voices() -> None:
    listed = {line.split()[0]: line for line in edgeser("models").out.splitlines() if line.strip()}
    for name in shipped_models():
        unseen = told(name)["unseen"]
        first, last = (f"{unseen['rows'][i]['ua4']['value'] * 100:.1f}" for i in (0, -1))
        assert re.search(rf" {first} +{last} ", listed[name])
    rounded = edgeser("models", "lightweight-emodb-int8").out
    assert re.search(r"^own corpus +loso, .*, in full precision$", rounded, re.MULTILINE)
    described = edgeser("models", "streaming6").out
    assert re.search(r"^unseen corpora +savee, ravdess, ased, turev, ", described, re.MULTILINE)
    assert "nothing, then all earlier, of any emotion" in described


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("labels", ["angry", "happy", "angry", "sad"]),
        ("labels", ["angry", "happy", "unknown", "sad"]),
        ("front_end", {"n_fft": 10**18}),
        ("front_end", {"mels": 10**18}),
        ("front_end", {"deltas": 10**18}),
        ("front_end", {"sample_rate": 10**18}),
        ("window", {"pad_frames": 10**18}),
        ("window", {"max_seconds": 1e18}),
        ("window", {"cut": "centre", "fill": True, "frames": 10**18}),
        ("golden", [{"seed": 1, "seconds": 1e18, "scores": [1, 0, 0, 0]}]),
        ("golden", [{"seed": -1, "seconds": 1, "scores": [1, 0, 0, 0]}]),
    ],
)
def test_metadata_beyond_any_model_are_refused(tmp_path: Path, part: str, change: object) -> None:
    if isinstance(change, dict):
        change = {**told("lightweight-emodb")[part], **change}
    file = rewritten(tmp_path, {part: change})
    with pytest.raises(ArtefactError, match=f"model {file}: bad metadata: "):
        load_model(str(file))


def told(name: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(edgeser("models", name, "--json").out)
    return tree
