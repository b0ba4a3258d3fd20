"""A package from outside, as docs/extending.md builds it: found, trained, evaluated, exported."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from edgeser.errors import UserError
from edgeser_train.data.batch import Batch
from edgeser_train.registry import Registry

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def listing(name: str) -> str:
    """The file of that name that the page shows."""
    found = re.search(
        rf"^`{re.escape(name)}`:\n\n```\w+\n(.*?)^```$", PAGE.read_text(), re.M | re.S
    )
    assert found, name
    return found[1]


def installed(folder: Path, module: str, project: str) -> Path:
    """What pip makes of a package of one module: the module, and its metadata beside it."""
    name = tomllib.loads(project)["project"]["name"].replace("-", "_")
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / f"{name}.py").write_text(module)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, points in tomllib.loads(project)["project"]["entry-points"].items():
        lines += [f"[{group}]", *(f"{point} = {value}" for point, value in points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


def make_tones(folder: Path) -> Path:
    """0.6 s each: four speakers, two labels, two takes."""
    folder.mkdir()
    t = np.arange(9600) / 16_000
    for speaker, hz in (("ann", 200), ("bob", 150), ("cat", 250), ("dan", 120)):
        for label, factor in (("high", 4), ("low", 1)):
            for take in (1, 2):
                sound = 0.3 * np.sin(2 * np.pi * hz * factor * (1 + 0.02 * take) * t)
                soundfile.write(folder / f"{speaker}-{label}-{take}.wav", sound, 16_000, "PCM_16")
    return folder


def python(packages: Path, *words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(packages), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=900,
    )


def edgeser(
    packages: Path, *words: object, folder: Path = Path()
) -> subprocess.CompletedProcess[str]:
    return python(packages, "-m", "edgeser", *words, folder=folder)


def block(language: str, beginning: str) -> str:
    """The page's block of that language that begins so, with the folder of tones in it."""
    pattern = rf"^```{language}\n({re.escape(beginning)}.*?)^```$"
    found = re.search(pattern, PAGE.read_text(), re.M | re.S)
    assert found, beginning
    return found[1].replace("FOLDER", "tones")


def test_the_package_of_the_page_is_trained_and_exported(tmp_path: Path) -> None:
    """The page from top to bottom, in one folder, with fewer epochs."""
    packages = installed(
        tmp_path / "packages", listing("edgeser_tiny.py"), listing("pyproject.toml")
    )
    tones = make_tones(tmp_path / "tones")
    short = ("--set", "variants=1", "--set", "epochs=2", "--set", "crop_frames=[40]")
    commands = block("sh", "pip install").replace("FILE.wav", "tones/ann-low-1.wav").splitlines()
    for line in commands[1:]:
        words = line.split()[1:]
        if "--corpus" in words:
            words += short
        done = edgeser(packages, *words, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    report = (tmp_path / "runs/tiny/report/report.md").read_text()
    assert "every second speaker tests" in report
    assert ", edgeser-tiny 1.0" in report.replace("_", "-")
    told = edgeser(packages, "evaluate", "--help", folder=tmp_path)
    assert "|cross|halves]" in "".join(told.stdout.split())
    script = block("python", "from pathlib import Path\n\nfrom edgeser_train.experiments")
    few = str([word for word in short if word != "--set"])
    script = script.replace('["epochs=20"]', few).replace('"full")', f'"full", settings={few})')
    (tmp_path / "script.py").write_text(script)
    done = python(packages, "script.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    # The artefact stands alone; the checkpoint needs the package.
    alone = tmp_path / "none"
    done = edgeser(alone, "predict", "--model", tmp_path / "tiny.onnx", tones / "ann-low-1.wav")
    assert done.returncode == 0, done.stderr
    checkpoint = tmp_path / "runs/all/model.pt"
    done = edgeser(alone, "export", checkpoint, "-o", tmp_path / "other.onnx")
    assert done.returncode == 2
    assert "no model 'tiny'; there is lightweight, eca-cnn" in done.stderr


def test_the_loss_of_the_page_learns_nothing_of_a_class_that_a_corpus_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edgeser_tiny.py").write_text(listing("edgeser_tiny.py"))
    monkeypatch.syspath_prepend(str(tmp_path))
    tiny = importlib.import_module("edgeser_tiny")
    monkeypatch.delitem(sys.modules, "edgeser_tiny")
    torch.manual_seed(0)
    model = tiny.Tiny(tiny.TinyConfig(labels=3))
    batch = Batch.of(torch.randn(4, 50, 64), torch.full((4,), 50), torch.eye(3)[[0, 1, 0, 1]])
    batch = batch._replace(class_mask=torch.tensor([[True, True, False]] * 4))
    loss, _ = tiny.Brier().hard(model, batch, torch.ones(3))
    loss.backward()
    learnt = model.layers[2].weight.grad.abs().sum(dim=1)
    assert (learnt > 0).tolist() == [True, True, False]


def test_what_another_package_brings_is_named_where_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = '[project]\nname = "broken"\n[project.entry-points."edgeser.things"]\n'
    points += 'bad = "broken:Nothing"\nours = "broken:ours"\n'
    installed(tmp_path, "def ours(): pass", points)
    monkeypatch.syspath_prepend(str(tmp_path))
    things = Registry[object]("thing", "edgeser.things", {"good": object()}, Path)
    assert list(things) == ["good", "bad", "ours"]
    assert "bad" in things
    with pytest.raises(UserError, match=r"thing 'bad' of broken \(broken:Nothing\).*uninstall"):
        things["bad"]
    with pytest.raises(
        UserError, match=r"thing 'ours' of broken \(broken:ours\): a function, no P"
    ):
        things["ours"]
    with pytest.raises(UserError, match="--thing x: no thing 'x'; there is good, bad, ours"):
        things.named("x", "--thing x")
    kinds = Registry[type]("thing", "edgeser.things", {}, Path, classes=True)
    with pytest.raises(UserError, match=r"\(broken:ours\): a function, no subclass of Path"):
        kinds["ours"]
    for ask in (list, lambda things: "ours" in things, lambda things: things.named("ours", "x")):
        mine = Registry[object]("thing", "edgeser.things", {"ours": object()}, Path)
        with pytest.raises(UserError, match="thing 'ours': broken brings one, and there is one"):
            ask(mine)


def test_recipes_for_a_model_of_ours_are_refused(tmp_path: Path) -> None:
    points = '[project]\nname = "broken"\n[project.entry-points."edgeser.recipes"]\n'
    installed(tmp_path, "RECIPES = {}", points + 'lightweight = "broken:RECIPES"\n')
    script = "from edgeser_train.training.recipes import recipe_of; recipe_of('lightweight')"
    done = python(tmp_path, "-c", script, folder=tmp_path)
    assert "recipe 'lightweight': broken brings one, and there is one" in done.stderr


MISTAKES = """
from dataclasses import replace

import msgspec
from edgeser_tiny import TONES, Brier, Tiny, TinyConfig, halves, load
from edgeser_train.corpora import Release
from edgeser_train.data.protocols import Protocol
from edgeser_train.data.splits import Fold
from edgeser_train.models.lightweight import Lightweight
from edgeser_train.training.loss import Loss

class Mine(Lightweight): pass
class Bare(Tiny): config_type = None
class DeafConfig(TinyConfig, frozen=True, tag_field="name", tag="deaf"): pass
class Deaf(Tiny):
    config_type = DeafConfig
    front_end = None
class StrictConfig(TinyConfig, frozen=True, tag_field="name", tag="strict", kw_only=True):
    size: int
class Strict(Tiny): config_type = StrictConfig
class Plain(Loss): pass

def text(u):
    return replace(u, path=str(u.path))
def of(change):
    return Release(lambda folder: change(load(folder)))
NONE = of(lambda corpus: None)
EMPTY = of(lambda corpus: replace(corpus, utterances=()))
TWICE = of(lambda corpus: replace(corpus, utterances=corpus.utterances * 2))
TEXT = of(lambda c: replace(c, utterances=tuple(map(text, c.utterances))))
ODD = of(lambda corpus: replace(corpus, labels=("high", "loud")))

def giving(*folds):
    return Protocol("x", True, lambda corpus, seed: list(folds))
LEAK = giving(Fold("a", (0, 2), (), (1,)))
FAR = giving(Fold("a", (0, 2), (), (99,)))
FOLDLESS = giving()
SAME = Protocol("x", True, lambda corpus, seed: halves(corpus, seed) * 2)
SLASH = Protocol("x", True, lambda c, s: [replace(f, name="a/b") for f in halves(c, s)])
"""
TOLD = {
    "models": {
        "Mine": "model 'mine': its config has the tag 'lightweight'; .* with tag='mine'",
        "Bare": "model 'bare': Bare has no config_type; give it one",
        "Deaf": "model 'deaf': its front_end is no FrontEnd",
        "Strict": "model 'strict': its config cannot be made .*'size'.*; give every field a def",
        "halves": r"model 'halves' of broken \(broken:halves\): a function, no subclass of Spe",
    },
    "losses": {
        "Plain": "loss 'plain': Plain is no msgspec.Struct of that tag; .* tag='plain'",
        "Brier": "loss 'other': Brier is no msgspec.Struct of that tag; .* tag='other'",
        "halves": r"loss 'halves' of broken .*: a function, no subclass of Loss",
    },
    "corpora": {
        "NONE": "corpus 'none': its loader returns NoneType, not a Corpus",
        "EMPTY": "corpus 'empty': its loader returns no utterances",
        "TWICE": "corpus 'twice': two utterances are named ann-high-1",
        "TEXT": "corpus 'text': the path of ann-high-1 is of type str, not a Path",
        "ODD": "corpus 'odd': ann-low-1 has label low, but its labels are high, loud",
        "load": r"corpus 'load' of broken \(broken:load\): a function, no Release",
    },
    "protocols": {
        "LEAK": "protocol 'leak' fold a: speaker ann is in train and in test; fix",
        "FAR": "protocol 'far' fold a: test has utterance 99, the corpus only 0 to 15",
        "FOLDLESS": "protocol 'foldless': it makes no folds of tones",
        "SAME": "protocol 'same': two folds are named 'second-half'",
        "SLASH": "protocol 'slash': a fold is named 'a/b', which is not a valid file name",
        "halves": r"protocol 'halves-2' of broken \(broken:halves\): a function, no Protocol",
    },
}
"""What is told of each thing of ``MISTAKES``."""


def test_a_mistake_of_another_package_is_one_line(tmp_path: Path) -> None:
    packages = installed(
        tmp_path / "packages", listing("edgeser_tiny.py"), listing("pyproject.toml")
    )
    tones = make_tones(tmp_path / "tones")
    options = {
        "models": f"--corpus tones={tones} --model {{}}",
        "losses": f"--corpus tones={tones} --set loss.name={{}}",
        "corpora": f"--corpus {{}}={tones}",
        "protocols": f"--corpus tones={tones} --protocol {{}}",
    }
    points, runs, expected = '[project]\nname = "broken"\n', [], []
    for group, things in TOLD.items():
        points += f'[project.entry-points."edgeser.{group}"]\n'
        for thing, told in things.items():
            name = told.split("'")[1]
            points += f'{name} = "broken:{thing}"\n'
            runs.append(["evaluate", "--dry-run", "-o", "x", *options[group].format(name).split()])
            expected.append(told)
    installed(packages, MISTAKES, points)
    script = "from click.testing import CliRunner\nfrom edgeser.cli import main\n"
    script += f"for words in {runs}:\n    done = CliRunner().invoke(main, words)\n"
    script += "    print(done.exit_code, repr(done.exception), done.output.strip())\n"
    done = python(packages, "-c", script, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(expected), done.stdout
    for line, told in zip(lines, expected, strict=True):
        assert re.match(rf"2 SystemExit\(2\) edgeser: {told}", line), line
