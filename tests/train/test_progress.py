"""What a training reports while it runs, and the precision in which it computes."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeser.cli import main
from edgeser.errors import UserError
from edgeser_train.commands.progress_display import Pace, ProgressDisplay, duration
from edgeser_train.training.known_warnings import ignore_known_warnings
from edgeser_train.training.precision import check_precision, computes_in_bf16, precision_of
from edgeser_train.training.progress import Progress, ProgressWriter, read_progress, remove_progress
from tests.train.synthetic import tiny_settings


def test_progress_is_written_read_and_removed(tmp_path: Path) -> None:
    work = tmp_path / "unfinished" / "03-seed1-abc"
    ProgressWriter(work).write(1.5, 40, 0.7, None)
    assert read_progress(work.parent) == [Progress("03-seed1-abc", 1.5, 40, 0.7)]
    (work / "progress.json").write_text("{")
    assert read_progress(work.parent) == []
    remove_progress(work)
    remove_progress(work)
    assert read_progress(tmp_path / "none") == []


def test_progress_is_not_written_at_every_batch(tmp_path: Path) -> None:
    progress = ProgressWriter(tmp_path / "a")
    for batch in range(1000):
        progress.write(batch / 1000, 1, 1.0, None)
    assert read_progress(tmp_path)[0].done < 1


def test_the_time_left_is_that_of_the_pace_so_far() -> None:
    pace = Pace(trainings=3, epochs=10)
    assert pace.lines([], 5.0) == ["trained 0 of 3"]
    running = [Progress("03-seed1-abc", 5.0, 10, 0.51234, 0.5)]
    # Found at epoch 5, so a resumption: what was done before says nothing of the pace.
    assert pace.lines(running, 5.0)[0] == "trained 0 of 3"
    running = [Progress("03-seed1-abc", 10.0, 10, 0.4, 0.5)]
    first, second = pace.lines(running, 60.0)
    assert first == "trained 0 of 3, about 4 min of training left"  # 20 epochs, 12 s each
    assert second == "  03-seed1: epoch 10.0 of 10, loss 0.400, validation UA 50.0 %"
    running = [Progress("03-seed1-abc", 10.0, 10, 0.4, scored=0.254)]
    assert pace.lines(running, 60.0)[1] == "  03-seed1: trained, 25 % scored"
    pace.finished = 1
    assert pace.lines([], 60.0)[0] == "trained 1 of 3, about 4 min of training left"


def test_trainings_that_were_kept_are_not_to_be_done(tmp_path: Path) -> None:
    with ProgressDisplay(tmp_path, 3, 10) as display:
        display.finished(kept=True)
        display.finished(kept=False)
    assert display.pace.lines([], 10.0)[0] == "trained 1 of 2, about 10 s of training left"


def test_scoring_is_shown_too(
    emodb: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float | None] = []
    write = ProgressWriter.write

    def note(self: ProgressWriter, *done: float, **scored: float) -> None:
        seen.append(scored.get("scored"))
        write(self, *done, **scored)

    monkeypatch.setattr(ProgressWriter, "write", note)
    fixed = ["--corpus", f"emodb={emodb}", "--cache", str(cache), *tiny_settings()]
    done = CliRunner().invoke(main, ["evaluate", *fixed, "--folds", "03", "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    shares = [share for share in seen if share is not None]
    assert shares == sorted(shares)
    assert len(shares) > 10
    assert shares[0] == 0
    assert shares[-1] > 0.9
    assert not (tmp_path / "unfinished").exists()


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59, "59 s"), (200, "3 min"), (3900, "1 h 05 min")]
)
def test_durations_are_read_at_a_glance(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_bf16_is_for_processors_that_compute_in_it() -> None:
    def cpu(flags: str, cores: int = 2) -> str:
        return "\n\n".join(f"processor\t: {i}\nflags\t\t: {flags}" for i in range(cores))

    assert computes_in_bf16(cpu("fpu avx512f avx512_bf16"))
    assert computes_in_bf16(cpu("fpu amx_bf16 amx_tile"))
    assert computes_in_bf16("processor : 0\nFeatures : fp asimd bf16 i8mm\n")
    assert not computes_in_bf16(cpu("fpu avx2 avx512f"))
    assert not computes_in_bf16(cpu("avx512_bf16", 1) + "\n\n" + cpu("avx2", 1))
    assert not computes_in_bf16("")
    assert (precision_of("bf16"), precision_of("fp32")) == ("bf16", "fp32")
    assert precision_of("auto") in ("bf16", "fp32")


def test_what_was_trained_in_one_precision_does_not_go_on_in_the_other() -> None:
    check_precision("a run", "bf16", "bf16")
    check_precision("a run of an earlier version", "", "bf16")
    with pytest.raises(UserError, match=r"a run was trained in bf16, this machine .* in fp32"):
        check_precision("a run", "bf16", "fp32")


def test_warnings_are_shown_but_for_known_ones() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        ignore_known_warnings()
        warnings.warn("The 'train_dataloader' does not have many workers which", stacklevel=1)
        warnings.warn("overflow in a model of mine", RuntimeWarning, stacklevel=1)
    assert [str(warning.message) for warning in heard] == ["overflow in a model of mine"]
