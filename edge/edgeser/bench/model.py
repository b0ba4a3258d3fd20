"""How fast models are here: each with several thread counts, batches and window lengths."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import msgspec
import numpy as np

from edgeser.bench.flops import flops
from edgeser.bench.machine import busy_with_others, cpu_times, this_machine
from edgeser.bench.report import Report, now
from edgeser.errors import UserError
from edgeser.events.schema import ModelRef
from edgeser.features.pieces import Pieces
from edgeser.model.golden import waveform
from edgeser.model.model import Model
from edgeser.pcm import SAMPLE_RATE

_PRODUCT_SIZE = 768
_PRODUCT_SHARE = 0.1
"""Share of a case's time that is spent on the matrix product for comparison."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one shape. ``gflops`` and ``multiply_adds_per_audio_s`` are null where ``onnx``
    is not installed to count them.

    ``product_gflops``: NumPy's float32 matrix product on one thread, the best of several runs in
    between. Not an upper bound: a network with more threads or better kernels is faster.
    """

    model: ModelRef
    backend: str
    threads: int
    batch: int
    window_s: float
    runs: int
    p50_ms: float
    p99_ms: float
    ms_per_audio_s: float
    multiply_adds_per_audio_s: float | None
    gflops: float | None
    product_gflops: float


class ModelReport(Report, frozen=True, kw_only=True, tag="edgeser-model-2"):
    """The result of ``edgeser bench model``.

    ``left_out``: for each model's name, the windows (s) that are too long for it.
    """

    cases: list[Case]
    left_out: dict[str, list[float]]


def measure(
    load: Callable[[int], Sequence[Model]],
    *,
    threads: Sequence[int],
    batches: Sequence[int],
    windows_s: Sequence[float],
    seconds: float,
    command: str,
    begin: Callable[[], None] = lambda: None,
    tell: Callable[[Case], None] = lambda case: None,
) -> ModelReport:
    """Run every case for ``seconds``. ``load``: the models for a number of threads.

    ``begin``: called before the first case, after all checks; ``tell``: after each. Raises
    UserError for a window that is too short for a model, or too long for all.
    """
    before, cpu = cpu_times(), time.process_time()
    cases: list[Case] = []
    left_out: dict[str, list[float]] = {}
    for count in threads:
        models = load(count)
        for model in models:
            _check(model, min(windows_s))
            if too_long := [s for s in windows_s if s > model.info.window.max_seconds]:
                left_out[model.ref.name] = too_long
        longest_s = max(model.info.window.max_seconds for model in models)
        if max(windows_s) > longest_s:
            raise UserError(
                f"--window: no model takes one of {max(windows_s):g} s, {longest_s:g} s at most"
            )
        if not cases:
            begin()
        for model in models:
            for batch, window_s in product(batches, windows_s):
                if window_s > model.info.window.max_seconds:
                    continue
                case = _case(model, count, batch, window_s, seconds)
                tell(case)
                cases.append(case)
    ours_s = time.process_time() - cpu
    return ModelReport(
        command=command,
        date=now(),
        machine=this_machine(),
        warning=busy_with_others(before, cpu_times(), ours_s),
        cases=cases,
        left_out=left_out,
    )


def _check(model: Model, shortest_s: float) -> None:
    least_s = model.info.front_end.hop / SAMPLE_RATE
    if shortest_s < least_s:
        raise UserError(
            f"--window: {model.ref.name} takes windows of {least_s:g} s or more, got {shortest_s:g}"
        )


def _case(model: Model, threads: int, batch: int, window_s: float, seconds: float) -> Case:
    windows = [model.pieces(waveform(seed, window_s)) for seed in range(batch)]
    times: list[float] = []
    products: list[float] = []
    model.scores(windows)
    left = np.random.default_rng(0).standard_normal((_PRODUCT_SIZE, _PRODUCT_SIZE), np.float32)
    for _ in _for(seconds):
        begun = time.perf_counter()
        model.scores(windows)
        times.append(time.perf_counter() - begun)
        if sum(products) < _PRODUCT_SHARE * sum(times) or len(products) < 3:
            begun = time.perf_counter()
            left @ left
            products.append(time.perf_counter() - begun)
    median = float(np.median(times))
    operations = flops(model.artefact.path, *_runs(model, windows))
    return Case(
        model=model.ref,
        backend=model.backend.name,
        threads=threads,
        batch=batch,
        window_s=window_s,
        runs=len(times),
        p50_ms=1000 * median,
        p99_ms=1000 * float(np.percentile(times, 99)),
        ms_per_audio_s=1000 * median / (batch * window_s),
        multiply_adds_per_audio_s=(
            None if operations is None else operations / 2 / (batch * window_s)
        ),
        gflops=None if operations is None else operations / median / 1e9,
        # The best: what the machine can do when undisturbed.
        product_gflops=2 * _PRODUCT_SIZE**3 / min(products) / 1e9,
    )


def _runs(model: Model, windows: Sequence[Pieces]) -> tuple[int, int]:
    """Rows of the graph's input for all of these windows, and frames in each row."""
    frames = model.row_frames(windows[0])
    if model.info.streaming is None:
        return sum(map(len, windows)), frames
    return sum(-(-len(pieces[0]) // frames) for pieces in windows), frames


def _for(seconds: float) -> Iterator[None]:
    """At least five turns, and as many as start within the time."""
    end = time.perf_counter() + seconds
    turn = 0
    while turn < 5 or time.perf_counter() < end:
        yield
        turn += 1
