"""Training and evaluation from Python: what ``edgeser train`` and ``edgeser evaluate`` call.

::

    from edgeser_train.experiments import evaluate, planned, train

    if __name__ == "__main__":  # worker processes import the script
        emodb = ["emodb=/data/emodb"]
        plan = planned("lightweight", emodb, protocol="loso", settings=["epochs=20"])
        report = evaluate(plan, Path("runs/loso"), jobs=2)
        print(report.ua.value)
        train(planned("lightweight", emodb, protocol="full"), Path("runs/all"))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus, load_corpora
from edgeser_train.corpora.selection import check_label_names
from edgeser_train.data.lineage import check_disjoint
from edgeser_train.data.protocols import Fold, folds_of
from edgeser_train.evaluation.folds import FoldResult, Part, Plan, origins_of, run_folds
from edgeser_train.evaluation.report import Report, report_of
from edgeser_train.evaluation.report_files import write
from edgeser_train.files import check_writable, locked_folder
from edgeser_train.sound.conditions import DEFAULT_CONDITIONS
from edgeser_train.sound.sounds import load_sounds, tell_silent
from edgeser_train.training import checkpoint
from edgeser_train.training.fold import TrainedFold, train_fold, training_of
from edgeser_train.training.initial_weights import initial_weights_of
from edgeser_train.training.recipe import changed
from edgeser_train.training.recipes import recipe_of
from edgeser_train.training.teacher import teacher_of
from edgeser_train.workers import is_rank_zero

CACHE = Path("runs/cache")


def planned(
    model: str,
    corpora: Sequence[str] | Corpus,
    *,
    labels: str | None = None,
    protocol: str,
    recipe: str | None = None,
    settings: Sequence[str] = (),
    part: Part = "test",
    seeds: Sequence[int] = (1,),
    data_seed: int = 1,
    conditions: Sequence[str] = DEFAULT_CONDITIONS,
    teachers: Sequence[Path] = (),
    start: Path | None = None,
) -> Plan:
    """Build a plan from names, as the command line does.

    ``corpora``: ``NAME=PATH``, several are merged; or a corpus in memory. ``recipe``: by default
    ``edgeser``, or the model's only one. ``labels``: the classes to distinguish in named corpora,
    in the syntax of ``classes_of``. ``settings``: ``FIELD=VALUE`` of the recipe. ``part``: the part
    of each fold that an evaluation scores. ``conditions``: the listening conditions under which it
    does. ``teachers``, ``start``: checkpoints, or run folders.

    Raises UserError for a name that does not exist.
    """
    data = corpora if isinstance(corpora, Corpus) else load_corpora(corpora, labels)
    check_label_names(data.labels)
    named = recipe_of(model, recipe, labels=len(data.labels), distilled=bool(teachers))
    return Plan(
        data,
        changed(named, settings),
        protocol,
        data_seed,
        teacher_of(teachers),
        initial_weights_of(start),
        part=part,
        seeds=tuple(seeds),
        conditions=tuple(conditions),
    )


def folds_named(plan: Plan, names: Sequence[str] | None = None) -> list[Fold]:
    """The plan's folds with these names or numbers (counted from 1); all if ``names`` is None.

    Raises UserError for one that does not exist.
    """
    folds = folds_of(plan.protocol, plan.corpus, plan.data_seed)
    if names is None:
        return folds
    by_name = {fold.name: fold for fold in folds}
    by_number = {str(number): fold for number, fold in enumerate(folds, 1)}
    chosen = {}
    for name in names:
        fold = by_name.get(name) or by_number.get(name.lstrip("0"))
        if fold is None:
            raise UserError(
                f"fold '{name}': protocol '{plan.protocol}' has none of that name or number",
                f"it has {_listed(folds)}",
            )
        chosen[fold.name] = fold
    return list(chosen.values())


def only_fold(plan: Plan, name: str | None) -> Fold:
    """The fold with that name or number; without a name, the only fold. Raises UserError."""
    folds = folds_named(plan, None if name is None else [name])
    if len(folds) > 1:
        raise UserError(
            f"protocol '{plan.protocol}' has several folds",
            f"choose one with --fold: {_listed(folds)}",
        )
    return folds[0]


def _listed(folds: Sequence[Fold]) -> str:
    return ", ".join(f"{number} {fold.name}" for number, fold in enumerate(folds, 1))


def train(
    plan: Plan, output: Path, *, fold: str | None = None, cache: Path = CACHE
) -> TrainedFold | None:
    """Train one fold with the plan's first seed and write ``output/model.pt``; nothing is scored.

    If it is killed, the same call resumes. Returns None if ``model.pt`` is already the result of
    this training, and in every process of ``torchrun`` but the first. Raises UserError if that file
    is the result of another training, and as ``check_disjoint`` and ``train_fold`` do.
    """
    chosen = only_fold(plan, fold)
    check_disjoint(plan.corpus, [chosen])
    first = is_rank_zero()
    with locked_folder(output) if first else nullcontext():
        if _is_trained(plan, chosen, output / "model.pt"):
            return None
        plan.check(chosen)
        if first:
            tell_silent(plan.corpus, load_sounds(plan.corpus, cache))
        done = train_fold(plan, chosen, plan.seeds[0], output, cache, logs=output / "logs")
        if not first:
            return None
        done.keep(output / "model.pt")
        return done


def _is_trained(plan: Plan, fold: Fold, weights: Path) -> bool:
    if not weights.exists():
        return False
    if checkpoint.load_origin(weights).training == training_of(plan, fold, plan.seeds[0]):
        return True
    raise UserError(
        f"{weights}: of another training, or of an older edgeser",
        "choose another folder with -o, or remove it",
    )


def evaluate(
    plan: Plan,
    output: Path,
    *,
    folds: Sequence[str] | None = None,
    jobs: int = 1,
    cache: Path = CACHE,
    report: Path | None = None,
    command: str = "edgeser_train.experiments.evaluate",
    on_result: Callable[[FoldResult, bool], None] = lambda result, resumed: None,
) -> Report:
    """Train and score folds with every seed in ``output``, and write the report to ``report``, by
    default ``output/report``.

    ``on_result``: called with every fold's result, and whether an earlier run computed it.
    ``command``: what the report gives as the command that made it. Raises UserError as
    ``run_folds`` does, and before any work if the report cannot be written.
    """
    if report is not None:
        check_writable(report / "report.json")
    results = run_folds(
        plan, folds_named(plan, folds), output, cache, jobs=jobs, on_result=on_result
    )
    made = report_of(plan, results, command, origins_of(output, results))
    write(made, report or output / "report")
    return made
