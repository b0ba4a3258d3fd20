"""Classes of an unseen corpus on which a model is not scored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeser.cli import main
from tests.train.synthetic import make_manifest
from tests.train.test_unseen import refused


@pytest.mark.parametrize(
    ("labels", "left"),
    [
        ("angry,happy,neutral,sad", {"boredom": 4}),
        ("angry,happy,neutral,boredom,sad", {"boredom": 4}),  # the model does not know it
        ("angry,happy,neutral=neutral+boredom", {"sad": 4}),
    ],
)
def test_what_is_left_out_is_told(labels: str, left: dict[str, int], tmp_path: Path) -> None:
    mine = make_manifest(tmp_path / "mine")
    mine.write_text(mine.read_text().replace("happy", "boredom", 2))
    mine.write_text(mine.read_text().replace("neutral", "boredom", 2))
    words = ["unseen", "voices6", "--corpus", f"manifest={mine}", "--orders", "1"]
    done = CliRunner().invoke(main, [*words, "--labels", labels, "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    ((label, utterances),) = left.items()
    assert f"mine: {utterances} utterances are left out ({label} {utterances})" in done.output
    assert json.loads((tmp_path / "unseen.json").read_text())["left_out"] == {"mine": left}
    assert f"4 speakers; left out: {label} {utterances}; " in (tmp_path / "unseen.md").read_text()


@pytest.mark.parametrize(
    ("labels", "shared"), [("disgusted,fearful", "none"), ("angry,fearful", "angry")]
)
def test_classes_that_leave_nothing_to_be_told_apart_are_refused(
    labels: str, shared: str, tmp_path: Path
) -> None:
    mine = make_manifest(tmp_path / "mine")
    mine.write_text(mine.read_text().replace("happy", "disgusted").replace("sad", "fearful"))
    words = ["voices6", "--corpus", f"manifest={mine}", "-o", tmp_path / "out"]
    told = refused(*words, "--labels", labels)
    assert f"--corpus mine: it and model voices6 share {shared} of angry, happy" in told
