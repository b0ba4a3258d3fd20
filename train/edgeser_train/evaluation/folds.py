"""The folds of an evaluation: each trained, scored and kept, so that a run can be resumed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import numpy as np

from edgeser.commit import commit
from edgeser.errors import UserError
from edgeser.pcm import Samples
from edgeser_train.data.frames import corpus_frames
from edgeser_train.data.lineage import check_disjoint, corpus_digest
from edgeser_train.data.protocols import Fold
from edgeser_train.files import locked_folder, write_whole
from edgeser_train.models.scoring import scoring_device, utterance_logits
from edgeser_train.sound import conditions
from edgeser_train.sound.sounds import load_sounds, tell_silent
from edgeser_train.training import checkpoint
from edgeser_train.training.checkpoint import Origin
from edgeser_train.training.fold import TrainingPlan, train_fold
from edgeser_train.training.precision import check_precision, precision_of
from edgeser_train.training.progress import ProgressWriter
from edgeser_train.training.states import remove_states
from edgeser_train.workers import Workers

Part: TypeAlias = Literal["test", "validation"]


class FoldResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The predictions of one fold's model for the utterances that it is scored on.

    ``logits[c]`` has a row per utterance, under ``conditions[c]``; the first is "clean".
    ``losses`` is the mean training loss of each epoch, ``validation`` the UA on the validation
    part, if that chose the epoch; ``chosen_epoch`` counts from 1. ``sounds``: a digest of the
    corpus's sound; ``precision``: that of the training; both "" in older results.
    """

    fold: str
    part: Part
    key: str
    seed: int
    utterances: list[str]
    corpora: list[str]
    speakers: list[str]
    targets: list[int]
    conditions: list[str]
    logits: list[list[list[float]]]
    losses: list[float]
    validation: list[float]
    chosen_epoch: int
    seconds: float
    sounds: str = ""
    precision: str = ""


@dataclass(frozen=True)
class Plan(TrainingPlan):
    """All that determines an evaluation's results: how folds are trained, and what is scored."""

    part: Part = "test"
    seeds: tuple[int, ...] = (1,)
    conditions: tuple[str, ...] = conditions.DEFAULT_CONDITIONS

    @property
    def key(self) -> str:
        return self._key(self.protocol, self.part, self.data_seed, *self.conditions)


@dataclass(frozen=True)
class _Job:
    """One training of an evaluation; ``stem`` of its files."""

    fold: Fold
    seed: int
    stem: str


def run_folds(
    plan: Plan,
    folds: list[Fold],
    run: Path,
    cache: Path,
    *,
    jobs: int = 1,
    on_result: Callable[[FoldResult, bool], None] = lambda result, resumed: None,
) -> list[FoldResult]:
    """Results of all folds of the first seed in their order, then of the next.

    Those already in ``run`` are not trained again; a killed training is resumed. ``on_result`` is
    called with each, and whether ``run`` had it already. Raises UserError when ``run`` holds folds
    of another plan or of a corpus whose sound has changed, if folds are missing and would be
    trained in another precision than those it holds, if another process is at work in it, and as
    ``Plan.check``, ``check_disjoint`` and ``train`` do.
    """
    check_scored(plan, folds)
    for fold in folds:
        plan.check(fold)
    check_disjoint(plan.corpus, folds)
    wanted = _jobs(plan, folds)
    results: dict[str, FoldResult] = {}
    run_job = partial(_run, plan, run, cache, commit())
    with locked_folder(run):
        for job in wanted:
            if (kept := _kept(plan, job, run)) is not None:
                results[job.stem] = kept
        todo = [job for job in wanted if job.stem not in results]
        if todo:
            now = precision_of(plan.recipe.precision)
            for kept in results.values():
                check_precision(f"{run}: its fold {kept.fold}", kept.precision, now)
        for kept in results.values():
            on_result(kept, True)
        if todo:
            # Only scoring needs the sound; errors and silent recordings are reported now.
            tell_silent(plan.corpus, load_sounds(plan.corpus, cache))
            corpus_frames(plan.corpus, plan.recipe, cache)
        for job, result in _all_run(run_job, todo, jobs):
            results[job.stem] = result
            on_result(result, False)
    return [results[job.stem] for job in wanted]


def check_scored(plan: Plan, folds: Sequence[Fold]) -> None:
    """Raises UserError where a fold has nothing to score."""
    if not all(_scored(fold, plan.part) for fold in folds):
        raise UserError(
            f"protocol '{plan.protocol}': it has no {plan.part} part to score",
            f"take '{'loso' if plan.part == 'test' else 'loso_val'}'",
        )


def kept_folds(run: Path, *, several_seeds: bool = False) -> list[tuple[FoldResult, Path]]:
    """Every fold that an evaluation has kept in ``run``, with its checkpoint, by seed and name.

    Raises UserError when there is none, when one is damaged, when they are of several plans, and,
    unless ``several_seeds``, of several seeds.
    """
    pairs = [(path, path.with_suffix(".pt")) for path in sorted(run.glob("*.json"))]
    found = [(_read(path), weights) for path, weights in pairs if weights.is_file()]
    if not found:
        raise UserError(f"run {run}: holds no folds", f"'edgeser evaluate -o {run}' makes them")
    if len({result.key for result, _ in found}) > 1:
        raise UserError(
            f"run {run}: its folds are of several recipes, corpora or protocols",
            "give them a folder each with -o",
        )
    seeds = sorted({result.seed for result, _ in found})
    if len(seeds) > 1 and not several_seeds:
        raise UserError(
            f"run {run}: its folds are of several seeds ({', '.join(map(str, seeds))})",
            "give a run of one seed",
        )
    once = {(result.seed, result.fold): (result, weights) for result, weights in found}
    return [once[place] for place in sorted(once)]


def _all_run(
    run_job: Callable[[_Job], FoldResult], todo: list[_Job], at_once: int
) -> Iterator[tuple[_Job, FoldResult]]:
    if at_once <= 1 or len(todo) <= 1:
        for job in todo:
            yield job, run_job(job)
        return
    threads = max(1, (os.cpu_count() or 1) // at_once)
    with Workers(at_once, threads) as pool:
        waiting = {pool.submit(run_job, job): job for job in todo}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def _run(plan: Plan, run: Path, cache: Path, code: str, job: _Job) -> FoldResult:
    """Train one fold's model, score it, and keep both in ``run``; ``code``: the running commit."""
    begun = time.monotonic()
    corpus, recipe, fold = plan.corpus, plan.recipe, job.fold
    digest = corpus_digest(corpus)
    done = train_fold(
        plan, fold, job.seed, run, cache, stem=job.stem, logs=run / "logs" / job.stem, code=code
    )
    trained, sounds = done.trained, load_sounds(corpus, cache)
    indices = _scored(fold, plan.part)
    utterances = [corpus.utterances[i] for i in indices]
    model = trained.model.to(scoring_device())
    progress, last_loss = ProgressWriter(done.work), trained.losses[-1]

    def under(number: int, name: str) -> Iterator[Samples]:
        for place, i in enumerate(indices):
            scored = (number + place / len(indices)) / len(plan.conditions)
            progress.write(recipe.epochs, recipe.epochs, last_loss, scored=scored)
            yield conditions.under(name, sounds.of(i), i)

    logits = [
        utterance_logits(model, under(number, name), recipe.front_end, recipe.window).tolist()
        for number, name in enumerate(plan.conditions)
    ]
    if not np.isfinite(logits).all():
        raise UserError(
            f"fold {fold.name}: its model's scores are not numbers",
            f"lower optimiser.learning_rate ({recipe.optimiser.learning_rate})",
        )
    result = FoldResult(
        fold=fold.name,
        part=plan.part,
        key=plan.key,
        seed=job.seed,
        utterances=[u.name for u in utterances],
        corpora=[corpus.corpus_of(u) for u in utterances],
        speakers=[u.speaker for u in utterances],
        targets=corpus.targets[list(indices)].tolist(),
        conditions=list(plan.conditions),
        logits=logits,
        losses=trained.losses,
        validation=trained.validation,
        chosen_epoch=trained.chosen_epoch,
        seconds=round(time.monotonic() - begun, 1),
        sounds=digest,
        precision=done.origin.precision,
    )
    checkpoint.save(run / f"{job.stem}.pt", model.cpu(), done.origin)
    write_whole(run / f"{job.stem}.json", msgspec.json.encode(result))
    remove_states(done.work)
    return result


def origins_of(run: Path, results: Sequence[FoldResult]) -> list[Origin | None]:
    """The origin of each result's checkpoint in ``run``; None where there is no checkpoint.

    Raises UserError for one that is damaged.
    """
    kept = (_find(run, result.fold, result.seed) for result in results)
    weights = [found[1] if found else None for found in kept]
    return [checkpoint.load_origin(path) if path and path.is_file() else None for path in weights]


def kept_names(plan: Plan, folds: Sequence[Fold], run: Path) -> set[str]:
    """Names of the trainings of these folds whose results ``run`` holds already.

    Raises UserError where it holds those of another plan.
    """
    return {job.stem for job in _jobs(plan, folds) if _kept(plan, job, run) is not None}


def _jobs(plan: Plan, folds: Sequence[Fold]) -> list[_Job]:
    return [
        _Job(fold, seed, fold.name if len(plan.seeds) == 1 else f"{fold.name}-seed{seed}")
        for seed in plan.seeds
        for fold in folds
    ]


def _kept(plan: Plan, job: _Job, run: Path) -> FoldResult | None:
    found = _find(run, job.fold.name, job.seed)
    if found is None and not (run / f"{job.stem}.json").is_file():
        return None
    if found is None or found[0].key != plan.key:
        raise UserError(
            f"{run}: holds folds of another recipe, corpus, protocol or seed",
            "choose another folder with -o, or remove it",
        )
    result, _ = found
    if result.sounds and result.sounds != corpus_digest(plan.corpus):
        raise UserError(
            f"{run}: the sound of {plan.corpus.name} has changed since fold {result.fold} was "
            "trained",
            "restore it, or choose another folder with -o",
        )
    return result


def _find(run: Path, fold: str, seed: int) -> tuple[FoldResult, Path] | None:
    """A fold's result and where its checkpoint is, named for a run of several seeds or of one."""
    for path in (run / f"{fold}-seed{seed}.json", run / f"{fold}.json"):
        if path.is_file() and (result := _read(path)).seed == seed:
            return result, path.with_suffix(".pt")
    return None


def _read(path: Path) -> FoldResult:
    try:
        return msgspec.json.decode(path.read_bytes(), type=FoldResult)
    except (msgspec.MsgspecError, OSError) as error:
        raise UserError(f"{path}: not the result of a fold ({error})", "remove it") from error


def _scored(fold: Fold, part: Part) -> tuple[int, ...]:
    return fold.test if part == "test" else fold.validation
