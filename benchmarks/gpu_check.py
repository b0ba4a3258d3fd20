"""Does an NVIDIA GPU compute what ONNX Runtime does, and how fast?

python benchmarks/gpu_check.py [NAME|FILE]... [--batches 1,8,64] [-o docs/reports/gpu]

With TensorRT, the engine of every artefact (default: those that ship) is built, verified by its
golden vectors, compared with ONNX Runtime on the CPU, and timed with CUDA events; int8 artefacts
that TensorRT does not accept (exported without --symmetric) are not run. ONNX Runtime's CUDA
provider and compiled PyTorch are run, too, where they are installed. PyTorch is only timed: its
weights are random, and its times exclude the copies that TensorRT's include. What was not run is
listed. Exit code 1 when something differs, 2 without a GPU.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import onnxruntime

import edgeser
from benchmarks import script
from edgeser.errors import UserError
from edgeser.model.artefact import Precision, shipped_models
from edgeser.model.backends.tensorrt.errors import UnfitError
from edgeser.model.backends.tensorrt.make import make_engine
from edgeser.model.backends.tensorrt.platform import this_gpu, this_platform
from edgeser.model.backends.tensorrt.shapes import shapes_of
from edgeser.model.golden import waveform
from edgeser.model.model import Model, load_model

LIMITS: dict[Precision, float] = {"fp32": 1e-3, "fp16": 1e-2, "int8": 1e-1}
"""Largest difference of a logit from ONNX Runtime's, relative to the largest logit, by precision.
If a value is rounded to neighbouring integers by the two, a logit changes by up to 3 % of the
largest: that is how far ONNX Runtime's own integer and float kernels differ on one processor."""


Inputs: TypeAlias = "dict[str, Any]"
"""A graph's inputs by name."""

Run: TypeAlias = Callable[[Inputs], Any]
"""From inputs to a graph's output for the labels, (batch, ..., labels)."""


class Check:
    """What to check, and the results, row by row."""

    def __init__(self, batches: list[int], runs: int) -> None:
        self.batches = batches
        self.runs = runs
        self.rows: list[dict[str, Any]] = []
        self.not_run: list[str] = []
        self.failed: list[str] = []

    def add(self, model: str, runs_on: str, clock: str, batch: int, frames: int, ms: Any) -> None:
        """Add a case's times, measured after a warm-up."""
        p50, p99 = (float(np.percentile(ms, p)) for p in (50, 99))
        row = {"model": model, "runs on": runs_on, "batch": batch, "frames": frames}
        self.rows.append({**row, "p50 ms": p50, "p99 ms": p99, "clock": clock})
        print(f"{model} on {runs_on}, batch {batch}: p50 {p50:.3f} ms, p99 {p99:.3f} ms ({clock})")

    def differs(self, model: str, runs_on: str, difference: float, limit: float) -> None:
        """Add how far a case is from ONNX Runtime on the CPU."""
        wrong = not difference <= limit
        what = f"{model} on {runs_on}: logits differ by {difference:.1e} of the largest"
        self.rows.append({"model": model, "runs on": runs_on, "difference": difference})
        print(f"{what}{f', more than {limit:.0e}' if wrong else ''}")
        if wrong:
            self.failed.append(f"{what}, more than {limit:.0e}")


def main() -> bool:
    parser = script.parser_of(__doc__)
    parser.add_argument("models", nargs="*", metavar="NAME|FILE", default=list(shipped_models()))
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="write gpu.md and .json"
    )
    parser.add_argument("--batches", type=counts, default="1,8,64", metavar="N,...")
    parser.add_argument("--runs", type=script.count, default=200, metavar="N", help="of each case")
    options = parser.parse_args()
    check = Check(options.batches, options.runs)
    gpu, capability = this_gpu()
    for name in options.models:
        engines(name, check)
        onnx_runtime_cuda(name, check)
    pytorch(check)
    for line in check.not_run:
        print(f"not run: {line}")
    if options.output is not None:
        write(options.output, f"{gpu} ({capability})", check)
    for line in check.failed:
        print(f"gpu_check: {line}", file=sys.stderr)
    return not check.failed


def counts(text: str) -> list[int]:
    """The type of an argument that is several counts, separated by commas."""
    return [script.count(part) for part in text.split(",")]


def engines(name: str, check: Check) -> None:
    """Build, verify, compare and time an artefact's engine."""
    try:
        platform = this_platform()
    except UserError as error:
        check.not_run.append(f"{name}: {error}")
        return
    try:
        make_engine(name, None, max(check.batches), lambda *_: None)
        model = load_model(name, "tensorrt")
    except UnfitError as error:
        check.not_run.append(f"{name} on TensorRT: {error}")
        return
    except UserError as error:  # the engine cannot be built, or drifts
        check.failed.append(f"{name}: {error}")
        return
    on = f"TensorRT {platform.tensorrt} {model.info.precision}"
    run = answering(model)
    compare(name, on, model, run, check)
    from edgeser.model.backends.tensorrt.backend import TensorRt

    steady = shapes_of(model.info, 1).steady
    for batch in check.batches:
        assert isinstance(model.backend, TensorRt)
        model.backend.times_ms(batch, steady, check.runs // 10)
        times = model.backend.times_ms(batch, steady, check.runs)
        check.add(name, on, "CUDA events", batch, steady, times)
        wall = wall_ms(check.runs, run, inputs(model, batch, steady))
        check.add(name, on, "whole call", batch, steady, wall)


def onnx_runtime_cuda(name: str, check: Check) -> None:
    """ONNX Runtime's CUDA provider, if the installed package has it and it really loads."""
    provider = "CUDAExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        check.not_run.append(f"{name} on ONNX Runtime's {provider}: install onnxruntime-gpu")
        return
    model = load_model(name, "onnxruntime")
    # fp32 means full precision, not TF32, as in an engine.
    session = onnxruntime.InferenceSession(
        str(model.artefact.path), providers=[(provider, {"use_tf32": "0"})]
    )
    if session.get_providers()[0] != provider:
        check.not_run.append(f"{name} on ONNX Runtime's {provider}: it does not load here")
        return

    def run(given: Inputs) -> Any:
        return session.run(None, given)[0]

    on = f"ONNX Runtime {onnxruntime.__version__} CUDA"
    compare(name, on, model, run, check)
    steady = shapes_of(model.info, 1).steady
    for batch in check.batches:
        wall = wall_ms(check.runs, run, inputs(model, batch, steady))
        check.add(name, on, "whole call", batch, steady, wall)


def pytorch(check: Check) -> None:
    """Every architecture compiled by PyTorch, its launches in a CUDA graph."""
    try:
        import torch

        from edgeser_train.models import build
        from edgeser_train.training.recipes import RECIPES
    except ImportError as error:
        check.not_run.append(f"PyTorch: {error.name} is not installed")
        return
    if not torch.cuda.is_available():
        check.not_run.append(f"PyTorch {torch.__version__}: it has no CUDA here")
        return
    for name in [name for name in RECIPES if name != "wavlm-sap"]:
        recipe = next(iter(RECIPES[name].values()))
        window = recipe.window
        longest = round(window.seconds * recipe.front_end.sample_rate / recipe.front_end.hop)
        length = longest if window.cut == "whole" else min(longest, window.frames)
        model = build(recipe.model).eval().cuda()
        compiled = torch.compile(model, mode="reduce-overhead")
        for batch in check.batches:
            features = torch.randn(batch, length, len(model.mean), device="cuda")
            frames = torch.full((batch,), length, device="cuda")
            try:
                times = cuda_ms(torch, check.runs, compiled, features, frames)
            except Exception as error:  # the compiler's exceptions share no base class
                reason = " ".join(str(error).split())[:120]
                check.not_run.append(f"{name} on PyTorch, batch {batch}: {reason}")
                continue
            on = f"PyTorch {torch.__version__} compiled fp32"
            check.add(name, on, "CUDA events", batch, length, times)


def cuda_ms(torch: Any, runs: int, model: Any, features: Any, frames: Any) -> list[float]:
    """Milliseconds of each run on the GPU, with inputs already there."""
    times = []
    with torch.inference_mode():
        for turn in range(runs + runs // 10):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            model(features, frames)
            end.record()
            end.synchronize()
            if turn >= runs // 10:
                times.append(begin.elapsed_time(end))
    return times


def answering(model: Model) -> Run:
    """A model's backend as a function to the labels' logits, or a streaming network's votes."""
    backend, labels = model.backend, len(model.info.labels)
    if model.info.streaming is not None:
        return lambda given: backend.step(given["features"], given["state"])[0][..., :labels]
    return lambda given: backend.run(given["features"], given["frames"])[..., :labels]


def compare(name: str, on: str, model: Model, run: Run, check: Check) -> None:
    """The largest difference from ONNX Runtime on the CPU: of one partial and of two in a batch,
    and of every batch size at a random length.
    """
    reference = answering(load_model(name, "onnxruntime"))
    shapes = shapes_of(model.info, 1)
    rng = np.random.default_rng(0)
    worst = 0.0
    step = model.info.window.pad_frames if model.info.streaming is None else shapes.longest
    cases = [(1, shapes.steady), (2, shapes.steady)]  # the CUDA graph, and the same without it
    for batch in (*check.batches, *rng.integers(1, max(check.batches) + 1, 5)):
        length = step * int(rng.integers(shapes.shortest // step, shapes.longest // step + 1))
        cases.append((int(batch), length))
    for batch, length in cases:
        given = inputs(model, batch, length)
        if "frames" in given:
            given["frames"][:] = rng.integers(length // 2 + 1, length + 1, batch)
        else:
            given["state"][:] = rng.uniform(-0.5, 0.5, given["state"].shape)
        expected = reference(given)
        difference = np.abs(run(given) - expected).max() / np.abs(expected).max()
        worst = max(worst, float(difference))
    check.differs(name, on, worst, LIMITS[model.info.precision])


def inputs(model: Model, batch: int, length: int) -> Inputs:
    """Features of as many test sounds, (batch, length, width), and their frames (batch,), or for a
    streaming network the state (batch, state) at the beginning of a segment.
    """
    spec, window = model.info.front_end, model.info.window
    seconds = min(window.max_seconds, length * spec.hop / spec.sample_rate)
    features = np.zeros((batch, length, spec.width), np.float32)
    for row in range(batch):
        piece = model.pieces(waveform(row % 16, seconds))[0][:length]
        features[row, : len(piece)] = piece
    if model.info.streaming is not None:
        return {
            "features": features,
            "state": np.zeros((batch, model.info.streaming.state), np.float32),
        }
    return {"features": features, "frames": np.full(batch, length, np.int64)}


def wall_ms(runs: int, run: Run, given: Inputs) -> list[float]:
    """Milliseconds of each call as its caller sees it, after a warm-up."""
    times = []
    for turn in range(runs + runs // 10):
        begun = time.perf_counter()
        run(given)
        if turn >= runs // 10:
            times.append(1000 * (time.perf_counter() - begun))
    return times


COLUMNS = ("model", "runs on", "batch", "frames", "p50 ms", "p99 ms", "clock", "difference")


def write(folder: Path, gpu: str, check: Check) -> None:
    """The report, for people and for programs."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"gpu": gpu, "edgeser": edgeser.__version__, "date": time.strftime("%Y-%m-%d")}
    tree = {**facts, "rows": check.rows, "not run": check.not_run, "failed": check.failed}
    (folder / "gpu.json").write_text(json.dumps(tree, indent=1) + "\n")
    lines = [
        f"# {gpu}, {facts['date']}",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in check.rows:
        cells = [f"{v:.3g}" if isinstance(v := row.get(k, ""), float) else str(v) for k in COLUMNS]
        lines.append(f"| {' | '.join(cells)} |")
    for title, items in (("Not run", check.not_run), ("Failed", check.failed)):
        lines += [
            "",
            f"{title}: {'nothing' if not items else ''}".strip(),
            *(f"* {i}" for i in items),
        ]
    (folder / "gpu.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    script.run(main)
