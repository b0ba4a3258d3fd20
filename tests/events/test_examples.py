"""The examples run as they stand, against a real publisher."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeser.events.publish.publisher import Publisher

from .helpers import PATIENCE_S, emotion, status, until

EXAMPLES = Path(__file__).parents[2] / "examples"


def lines_of(command: list[str], endpoint: str, env: dict[str, str] | None = None) -> list[str]:
    """The first two lines a subscriber prints of some events, and what it says before."""
    with Publisher([endpoint]) as publisher:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        try:
            until(lambda: publisher.subscriptions == 1 or process.poll() is not None)
            assert process.poll() is None
            publisher.publish(status())
            publisher.publish(emotion(1, "partial", label="sad"))
            publisher.publish(emotion(1, "final", label="happy"))
            publisher.publish(emotion(2, "final", label="angry"))
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stderr.readline() == f"listening at {endpoint}\n"
            return [process.stdout.readline(), process.stdout.readline()]
        finally:
            process.kill()
            process.communicate()


PYTHON = [sys.executable, str(EXAMPLES / "subscribe.py")]
PRINTED = ["    1.00 s  happy    85%\n", "    1.00 s  angry    85%\n"]


def test_python(endpoint: str) -> None:
    assert lines_of([*PYTHON, endpoint], endpoint) == PRINTED


DEMO = [sys.executable, str(EXAMPLES / "demo.py")]


def test_a_demo_of_what_is_no_sound_ends_and_says_so() -> None:
    done = subprocess.run(
        [*DEMO, "/nowhere.wav"], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "/nowhere.wav: there is no such file" in done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_sums_up_what_it_heard(how: signal.Signals) -> None:
    demo = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    until(lambda: "partial" in demo.stdout.readline())  # type: ignore[union-attr]
    demo.send_signal(how)
    shown, said = demo.communicate(timeout=PATIENCE_S)  # daemon and listener would hold the pipes
    assert demo.returncode == 130
    assert "Latency of" in shown
    assert "Traceback" not in said


def test_ctrl_c_ends_python_without_a_traceback(endpoint: str) -> None:
    with Publisher([endpoint]) as publisher:
        process = subprocess.Popen([*PYTHON, endpoint], stderr=subprocess.PIPE, text=True)
        until(lambda: publisher.subscriptions == 1 or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert said == f"listening at {endpoint}\n"


@pytest.fixture(params=["XDG_RUNTIME_DIR", "TMPDIR"])
def environment(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """An environment that has a runtime folder, or none but the folder for temporary files."""
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        clean = {k: v for k, v in os.environ.items() if k not in ("XDG_RUNTIME_DIR", "TMPDIR")}
        yield clean | {request.param: folder}


def default_endpoint(environment: dict[str, str]) -> str:
    """Where a daemon with this environment publishes."""
    code = "from edgeser.paths import default_endpoint; print(default_endpoint())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_python_looks_where_a_daemon_publishes(environment: dict[str, str]) -> None:
    assert lines_of(PYTHON, default_endpoint(environment), environment) == PRINTED


def test_the_python_example_is_short_and_needs_pyzmq_only() -> None:
    text = (EXAMPLES / "subscribe.py").read_text(encoding="utf-8")
    code = [line for line in text.splitlines() if line.strip()]
    assert len(code) <= 20
    assert "edgeser" not in "\n".join(line for line in code if "import" in line)


@pytest.fixture
def node() -> list[str]:
    """The command that runs the example; ``make test`` has npm install what it needs."""
    node = shutil.which("node")
    assert node, "node is missing: 'make test' sets it up"
    assert (EXAMPLES / "node_modules" / "zeromq").is_dir(), "npm install --prefix examples"
    return [node, str(EXAMPLES / "subscribe.mjs")]


def test_node(node: list[str], endpoint: str) -> None:
    lines = lines_of([*node, endpoint], endpoint)
    assert lines == ["1.00 s  happy  85%\n", "1.00 s  angry  85%\n"]


def test_node_looks_where_a_daemon_publishes(node: list[str], environment: dict[str, str]) -> None:
    lines = lines_of(node, default_endpoint(environment), environment)
    assert lines == ["1.00 s  happy  85%\n", "1.00 s  angry  85%\n"]
