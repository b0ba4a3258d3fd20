"""The folds of an evaluation: each trained, scored and kept, so that a run can be resumed."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import torch

from edgeser.errors import UserError
from edgeser_train import checkpoint
from edgeser_train.corpora import Corpus
from edgeser_train.files import write_whole
from edgeser_train.frames import corpus_frames
from edgeser_train.protocols import Fold
from edgeser_train.recipe import Recipe
from edgeser_train.scoring import scaled, utterance_logits
from edgeser_train.training import train

Part: TypeAlias = Literal["test", "validation"]

GAINS_DB = (0.0, -20.0, -10.0, 10.0)


class FoldResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one fold's model says of the utterances that it is scored on.

    ``logits[g]`` is a row per utterance, its sound scaled by ``GAINS_DB[g]``; ``losses`` is the
    mean training loss of each epoch.
    """

    fold: str
    part: Part
    key: str
    utterances: list[str]
    speakers: list[str]
    targets: list[int]
    logits: list[list[list[float]]]
    losses: list[float]
    seconds: float


@dataclass(frozen=True)
class Plan:
    """All that decides a fold's result."""

    corpus: Corpus
    recipe: Recipe
    protocol: str
    part: Part
    seed: int

    @property
    def key(self) -> str:
        names = "".join(f"{u.name}:{u.label};" for u in self.corpus.utterances)
        parts = (self.recipe.fingerprint, self.protocol, self.part, str(self.seed), names)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def run_folds(
    plan: Plan,
    folds: list[Fold],
    run: Path,
    cache: Path,
    *,
    jobs: int = 1,
    on_result: Callable[[FoldResult, bool], None] = lambda result, resumed: None,
) -> list[FoldResult]:
    """Results of all folds, in their order; those already in ``run`` are not trained again.

    ``on_result`` is told of each, and whether it was there before. Raises UserError when ``run``
    holds folds of another plan.
    """
    results: dict[str, FoldResult] = {}
    todo: list[Fold] = []
    for fold in folds:
        if not _scored(fold, plan.part):
            raise UserError(
                f"protocol '{plan.protocol}': it has no {plan.part} part to score; take 'loso'"
            )
        if (kept := _kept(plan, fold, run)) is not None:
            results[fold.name] = kept
            on_result(kept, True)
        else:
            todo.append(fold)
    if todo:
        corpus_frames(plan.corpus, plan.recipe, cache)
    for result in _trained(plan, todo, run, cache, jobs):
        results[result.fold] = result
        on_result(result, False)
    return [results[fold.name] for fold in folds]


def _trained(
    plan: Plan, todo: list[Fold], run: Path, cache: Path, jobs: int
) -> Iterator[FoldResult]:
    if jobs <= 1 or len(todo) <= 1:
        for fold in todo:
            yield run_fold(plan, fold, run, cache)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), torch.set_num_threads, (threads,)
    )
    with pool:
        waiting = [pool.submit(run_fold, plan, fold, run, cache) for fold in todo]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def run_fold(plan: Plan, fold: Fold, run: Path, cache: Path) -> FoldResult:
    """Train one fold's model, score it, and keep both in ``run``."""
    begun = time.monotonic()
    corpus, recipe = plan.corpus, plan.recipe
    frames = corpus_frames(corpus, recipe, cache)
    trained = train(corpus, frames, fold.train, recipe, seed=plan.seed)
    indices = _scored(fold, plan.part)
    utterances = [corpus.utterances[i] for i in indices]
    sounds = [u.samples() for u in utterances]
    logits = [
        utterance_logits(
            trained.model,
            [scaled(sound, gain) for sound in sounds],
            recipe.front_end,
            recipe.max_frames,
        ).tolist()
        for gain in GAINS_DB
    ]
    result = FoldResult(
        fold=fold.name,
        part=plan.part,
        key=plan.key,
        utterances=[u.name for u in utterances],
        speakers=[u.speaker for u in utterances],
        targets=[corpus.targets[i] for i in indices],
        logits=logits,
        losses=trained.losses,
        seconds=round(time.monotonic() - begun, 1),
    )
    origin = checkpoint.origin_of(corpus, recipe, f"{plan.protocol} fold {fold.name}", plan.seed)
    checkpoint.save(run / f"{fold.name}.pt", trained.model, origin)
    write_whole(_result_path(run, fold), msgspec.json.encode(result))
    return result


def _kept(plan: Plan, fold: Fold, run: Path) -> FoldResult | None:
    path = _result_path(run, fold)
    if not path.is_file():
        return None
    try:
        result = msgspec.json.decode(path.read_bytes(), type=FoldResult)
    except msgspec.MsgspecError as error:
        raise UserError(f"{path}: no result of a fold ({error}); remove it") from error
    if result.key != plan.key:
        raise UserError(
            f"{run}: holds folds of another recipe, corpus, protocol or seed; "
            "choose another folder with -o, or remove it"
        )
    return result


def _result_path(run: Path, fold: Fold) -> Path:
    return run / f"{fold.name}.json"


def _scored(fold: Fold, part: Part) -> tuple[int, ...]:
    return fold.test if part == "test" else fold.validation
