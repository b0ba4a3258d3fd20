"""Every name that we use of TensorRT and CUDA is in NVIDIA's real bindings, with its parameters.

The bindings come from the package index; TensorRT's libraries do not, so those that the bindings
want are stubs. Where the index is out of reach the tests are skipped.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.model.tensorrt import stubs, wheels
from tests.model.tensorrt.running import FAKE, python
from tests.model.tensorrt.uses import Call, Uses, uses

ROOM = Path(__file__).parents[3] / "edge" / "edgeser" / "model" / "backends" / "tensorrt"
DUMP = Path(__file__).parent / "api_dump.py"
OURS = [ROOM / name for name in ("backend.py", "build.py", "logger.py")]
FAKE_TENSORRT = FAKE / "tensorrt" / "__init__.py"
FAKE_CUDA = FAKE / "cuda" / "bindings" / "runtime.py"

Api = dict[str, Any]


@pytest.fixture(scope="module", params=wheels.TENSORRT)
def tensorrt(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Api:
    version = request.param
    libraries = stubs.nvinfer(tmp_path_factory.mktemp("stubs"), int(version.partition(".")[0]))
    return dumped("tensorrt", wheels.tensorrt(version), libraries)


@pytest.fixture(scope="module", params=wheels.CUDA)
def cuda(request: pytest.FixtureRequest) -> Api:
    return dumped("cuda.bindings.runtime", wheels.cuda(request.param))


def dumped(module: str, package: Path, *libraries: Path) -> Api:
    done = python(DUMP, module, path=(package,), libraries=libraries)
    assert done.returncode == 0, done.stderr
    api: Api = json.loads(done.stdout)
    return api


def signatures(name: str, doc: str) -> list[list[str]]:
    """The parameters of every overload, as the docstring of a compiled function has them."""
    found = []
    for parameters in re.findall(rf"^(?:\d+\. )?{name}\((.*)\)(?: -> .*)?$", doc, re.M):
        depth, parts = 0, [""]
        for character in parameters:
            depth += (character in "[(<") - (character in "])>")
            if character == "," and not depth:
                parts.append("")
            else:
                parts[-1] += character
        stripped = [part.strip() for part in parts if part.strip()]
        found.append([part for part in stripped if not re.match(r"self\b", part)])
    return [s for s in found if s[:1] != ["*args"]]


def accepts(parameters: list[str], call: Call) -> bool:
    """Whether a call gives every parameter that has no default, and none that there is not."""
    names = [re.split(r"[:=]", part)[0].split()[-1] for part in parameters]
    given = {*names[: call.positional], *call.keywords}
    needed = {name for name, part in zip(names, parameters, strict=True) if "=" not in part}
    return call.positional <= len(names) and needed <= given <= set(names)


def complaints(found: Uses, api: Api) -> list[str]:
    """What a file asks of TensorRT that it has not."""
    wrong: list[str] = []
    everything = {m for entry in api.values() for m in entry["members"]}

    def called(where: str, kind: str, member: str, call: Call | None) -> None:
        members = api[kind]["members"] if kind in api else {}
        if member not in members:
            wrong.append(f"{where}: there is no {kind}.{member}")
        elif call is not None:
            known = signatures(member, members[member]["doc"])
            if not any(accepts(s, call) for s in known):
                wrong.append(f"{where}: {kind}.{member} takes {known}")

    for where, (kind, *rest), call in found.names:
        if rest[1:] and rest[1] not in api[kind]["members"].get(rest[0], {}).get("nested", []):
            wrong.append(f"{where}: there is no {kind}.{'.'.join(rest)}")
        elif call is not None and rest:
            # Called through the class, as a base's __init__ is: self is one of the arguments.
            called(where, kind, rest[0], Call(call.positional - 1, call.keywords))
        else:
            called(where, kind, rest[0] if rest else "__init__", call)
    for where, kind, member, call in found.members:
        called(where, kind, member, call)
    for where, kind, method, parameters in found.overrides:
        member = api[kind]["members"].get(method)
        if member is not None and not method.startswith("__"):
            (known,) = signatures(method, member["doc"])
            if parameters[1:] != [part.partition(":")[0] for part in known]:
                wrong.append(f"{where}: {kind}.{method} takes {known}")
    for where, name in found.untyped:
        if name in everything and "_" in name.strip("_"):
            wrong.append(f"{where}: .{name} looks like TensorRT's, of what is not annotated")
    return wrong


def test_what_we_use_of_tensorrt_exists_with_these_parameters(tensorrt: Api) -> None:
    found = [uses(file, "trt") for file in OURS]
    assert [line for file in found for line in complaints(file, tensorrt)] == []
    members = {(kind, member) for file in found for _, kind, member, _ in file.members}
    assert {
        ("Builder", "build_serialized_network"),
        ("IExecutionContext", "execute_async_v3"),
        ("IExecutionContext", "set_tensor_address"),
    } <= members


def test_what_tensorrt_has_not_is_found(tensorrt: Api, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import tensorrt as trt\n"
        "class Log(trt.ILogger):\n"
        "    def log(self, msg): ...\n"
        "def work(builder: trt.Builder, other):\n"
        "    builder.build_cuda_engine()\n"
        "    builder.create_network(1, 2)\n"
        "    builder.create_builder_config(fast=True)\n"
        "    trt.BuilderFlag.MAGIC\n"
        "    trt.ILogger.Severity.LOUD\n"
        "    trt.Wizard()\n"
        "    other.execute_async_v3(1)\n"
    )
    found = complaints(uses(wrong, "trt"), tensorrt)
    assert sorted(int(line.split(":")[1]) for line in found) == [3, 5, 6, 7, 8, 9, 10, 11]


def test_the_fake_has_nothing_that_tensorrt_has_not(tensorrt: Api) -> None:
    fake = dumped("tensorrt", FAKE)
    for name, entry in fake.items():
        if not entry["members"]:
            continue
        real = tensorrt[name]["members"]
        own = {m for m in entry["members"] if not m.startswith("_")} - {"onnx"}
        assert own - {"name", "value"} <= set(real), name
    for where, kind, method, parameters in methods(FAKE_TENSORRT):
        if kind in tensorrt and (method == "__init__" or not method.startswith("_")):
            known = signatures(method, tensorrt[kind]["members"][method]["doc"])
            private = method == "__init__" and kind not in ("Builder", "OnnxParser", "Runtime")
            ours = Call(len(parameters) - 1, ())
            fits = [s for s in known if accepts(s, ours)]
            names = [[part.partition(":")[0] for part in s[: len(parameters) - 1]] for s in fits]
            assert private or parameters[1:] in names, f"{where}: {kind}.{method} {known}"


def test_what_we_use_of_cuda_exists_with_as_many_parameters(cuda: Api) -> None:
    found = uses(ROOM / "cuda.py", "cudart")
    assert len(found.names) > 20
    for where, chain, call in found.names:
        assert chain[0] in cuda, f"{where}: {chain}"
        assert all(part in cuda[chain[0]]["members"] for part in chain[1:]), f"{where}: {chain}"
        if call is not None:
            (known,) = signatures(chain[0], cuda[chain[0]]["doc"])
            assert call == Call(len(known), ()), f"{where}: {chain[0]} {known}"
    for where, _, function, parameters in methods(FAKE_CUDA):
        if function.startswith("cuda"):
            (known,) = signatures(function, cuda[function]["doc"])
            names = [part.partition(":")[0].split()[-1] for part in known]
            assert parameters == names, f"{where}: {function}"


def methods(file: Path) -> list[tuple[str, str, str, list[str]]]:
    """Where, class, name and parameters of every function in a file."""
    import ast

    tree = ast.parse(file.read_text())
    classes = [(node.name, node) for node in tree.body if isinstance(node, ast.ClassDef)]
    owners: list[tuple[str, ast.Module | ast.ClassDef]] = [("", tree), *classes]
    return [
        (f"{file.name}:{node.lineno}", owner, node.name, [a.arg for a in node.args.args])
        for owner, body in owners
        for node in body.body
        if isinstance(node, ast.FunctionDef)
    ]


@pytest.mark.parametrize("version", wheels.CUDA)
def test_the_real_cuda_bindings_say_that_there_is_no_gpu(version: str) -> None:
    code = (
        "from edgeser.model.backends.tensorrt.cuda import Stream\n"
        "from edgeser.model.backends.tensorrt.errors import EngineError\n"
        "try:\n    Stream()\nexcept EngineError as error:\n    print(error)"
    )
    done = python("-c", code, path=(wheels.cuda(version),))
    assert done.stdout.startswith("CUDA: "), done.stderr
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("version", wheels.TENSORRT)
def test_our_logger_and_monitor_are_what_the_real_bindings_take(
    version: str, tmp_path: Path
) -> None:
    """TensorRT's own classes accept them as bases; its libraries, being stubs, call neither."""
    code = (
        "import threading, tensorrt as trt\n"
        "from edgeser.model.backends.tensorrt.build import Monitor\n"
        "from edgeser.model.backends.tensorrt.logger import Logger\n"
        "logger, told, stop = Logger(), [], threading.Event()\n"
        "logger.log(trt.ILogger.Severity.WARNING, 'careful')\n"
        "assert logger.because('it failed') == 'it failed'\n"
        "logger.log(trt.ILogger.Severity.ERROR, 'no\\n memory')\n"
        "monitor = Monitor(lambda *news: told.append(news), stop)\n"
        "monitor.phase_start('outer', None, 2)\n"
        "monitor.phase_start('inner', 'outer', 1)\n"
        "assert monitor.step_complete('inner', 0) and monitor.step_complete('outer', 0)\n"
        "stop.set()\n"
        "assert not monitor.step_complete('outer', 1)\n"
        "monitor.phase_finish('outer')\n"
        "print(logger.because('it failed'), told)"
    )
    libraries = stubs.nvinfer(tmp_path, int(version.partition(".")[0]))
    done = python("-c", code, path=(wheels.tensorrt(version),), libraries=(libraries,))
    steps = "[('outer', 0, 2), ('outer', 1, 2), ('outer', 2, 2), ('outer', 2, 2)]"
    assert done.stdout == f"it failed: no memory {steps}\n", done.stderr
