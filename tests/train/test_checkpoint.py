"""A checkpoint comes back, says what made it, and what is none is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus, Utterance
from edgeser_train.corpora.emodb import load
from edgeser_train.data.protocols import Fold
from edgeser_train.models.lightweight import Lightweight
from edgeser_train.training import checkpoint
from edgeser_train.training.leaks import file_of
from tests.train.synthetic import TINY_RECIPE
from tests.unprivileged import unprivileged


def test_what_is_no_checkpoint_is_told_in_plain_words(tmp_path: Path) -> None:
    for name, said in (("m.onnx", "this is an exported model"), ("m.pt", "this is something else")):
        (tmp_path / name).write_bytes(b"\x08\x08onnx")
        for read in (checkpoint.load, checkpoint.load_origin):
            with pytest.raises(UserError, match=f"{name}: {said}.*give the model.pt"):
                read(tmp_path / name)
    torch.save({"weights": {}}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="not a checkpoint of this version"):
        checkpoint.load(tmp_path / "other.pt")


def test_targets_are_computed_once() -> None:
    utterances = tuple(Utterance(str(i), Path(), "a", label) for i, label in enumerate("bab"))
    corpus = Corpus("c", "CC0-1.0", ("a", "b"), utterances)
    assert corpus.targets.tolist() == [1, 0, 1]
    assert corpus.targets is corpus.targets


def test_a_checkpoint_comes_back(tmp_path: Path, emodb: Path) -> None:
    model = Lightweight(TINY_RECIPE.model).eval()
    origin = checkpoint.origin_of(load(emodb), TINY_RECIPE, "full", Fold("part", (4, 2), (), ()), 1)
    checkpoint.save(tmp_path / "m" / "model.pt", model, origin)
    again, read = checkpoint.load(tmp_path / "m" / "model.pt")
    assert read == origin
    assert origin.trained_on == [load(emodb).utterances[i].name for i in (4, 2)]
    x, n = torch.randn(1, 50, 128), torch.tensor([50])
    torch.testing.assert_close(again(x, n), model(x, n))
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["model.pt"]


def test_a_checkpoint_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.pt").touch(mode=0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # what lies above it is closed, too
    with unprivileged(), pytest.raises(UserError, match=r"model\.pt: cannot be read: Permission"):
        checkpoint.load(Path("model.pt"))


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.pt"
    if content is None:
        torch.save({"weights": {}}, path)
    else:
        path.write_bytes(content)
    said = (
        "not a checkpoint of this version" if content is None else "this is something else, not a"
    )
    with pytest.raises(UserError, match=rf"model\.pt: {said}"):
        checkpoint.load(path)
    with pytest.raises(UserError, match="no such file"):
        checkpoint.load(tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"no checkpoint a\.pt of fold a; .* folds and one seed"):
        file_of(tmp_path, Fold("a", (0,), (), (1,)))
