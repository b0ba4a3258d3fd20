"""A tiny corpus with the names of Emo-DB and the sound of a synthesiser, and a tiny recipe."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import soundfile

from edgeser_train.corpora.emodb import LABEL_OF_LETTER, classic_stems, load
from edgeser_train.data.frames import corpus_frames
from edgeser_train.training.batches import TrainingData
from edgeser_train.training.recipe import Recipe, changed
from edgeser_train.training.recipes import recipe_of

PITCH_HZ = {"W": 400, "F": 700, "N": 200, "T": 100}
TINY = (
    "model.blocks=1",
    "model.channels=8",
    "model.entry_channels=4",
    "model.hidden=8",
    "model.head=8",
    "variants=2",
    "crop_frames=[20,24]",
    "epochs=2",
    "batch=64",
)
TINY_RECIPE = changed(recipe_of("lightweight"), TINY)


def tiny_settings() -> list[str]:
    """Options of a recipe that trains in a second or two."""
    return [word for setting in TINY for word in ("--set", setting)]


def training_data_of(folder: Path, cache: Path, recipe: Recipe = TINY_RECIPE) -> TrainingData:
    """The training data of a folder with (synthetic) Emo-DB."""
    corpus = load(folder)
    return TrainingData(corpus, corpus_frames(corpus, recipe, cache), recipe)


def make_emodb(folder: Path, stems: list[str] | None = None, suffix: str = ".wav") -> Path:
    """Write the recordings of the four classes, each 0.3 s of its class's pitch."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    t = np.arange(4800) / 16_000
    if stems is None:
        stems = [stem for stem in classic_stems() if stem[5] in LABEL_OF_LETTER]
    for stem in stems:
        hz = PITCH_HZ.get(stem[5], 50) * rng.uniform(0.95, 1.05)
        sound = 0.3 * np.sign(np.sin(2 * np.pi * hz * t)) + 0.01 * rng.standard_normal(len(t))
        soundfile.write(folder / f"{stem}{suffix}", sound.astype(np.float32), 16_000, "PCM_16")
    return folder


def make_manifest(folder: Path) -> Path:
    """Write 16 recordings of 0.5 s by four speakers, and the list of what is known of each."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    t = np.arange(8000) / 16_000
    rows = ["path,speaker,label,agreement,valence,arousal"]
    for i, (speaker, (label, hz)) in enumerate(
        itertools.product(
            "abcd", zip(("angry", "happy", "neutral", "sad"), PITCH_HZ.values(), strict=True)
        )
    ):
        sound = 0.3 * np.sign(np.sin(2 * np.pi * hz * t)) + 0.01 * rng.standard_normal(len(t))
        soundfile.write(folder / f"{i}.wav", sound.astype(np.float32), 16_000, "PCM_16")
        rows.append(f"{i}.wav,{speaker},{label},{(0.5, 0.75, 1.0)[i % 3]},{i % 5},{i % 4}")
    (folder / "mine.csv").write_text("\n".join(rows) + "\n")
    return folder / "mine.csv"
