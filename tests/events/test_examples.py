"""The examples run as they stand, against a real publisher."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgeser.events.publisher import Publisher

from .helpers import emotion, status, until

EXAMPLES = Path(__file__).parents[2] / "examples"


def lines_of(command: list[str], endpoint: str) -> list[str]:
    """The first two lines a subscriber prints of some events."""
    with Publisher([endpoint]) as publisher:
        process = subprocess.Popen([*command, endpoint], stdout=subprocess.PIPE, text=True)
        try:
            until(lambda: publisher.subscriptions == 1 or process.poll() is not None)
            assert process.poll() is None
            publisher.publish(status())
            publisher.publish(emotion(1, "partial", label="sad"))
            publisher.publish(emotion(1, "final", label="happy"))
            publisher.publish(emotion(2, "final", label="angry"))
            assert process.stdout is not None
            return [process.stdout.readline(), process.stdout.readline()]
        finally:
            process.kill()
            process.communicate()


def test_python(endpoint: str) -> None:
    lines = lines_of([sys.executable, str(EXAMPLES / "subscribe.py")], endpoint)
    assert lines == ["    1.00 s  happy    85%\n", "    1.00 s  angry    85%\n"]


def test_the_python_example_is_short_and_needs_pyzmq_only() -> None:
    text = (EXAMPLES / "subscribe.py").read_text(encoding="utf-8")
    code = [line for line in text.splitlines() if line.strip()]
    assert len(code) <= 16
    assert "edgeser" not in "\n".join(line for line in code if "import" in line)


def test_node(endpoint: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    probe = subprocess.run(
        [node, "--input-type=module", "-e", "await import('zeromq')"],
        cwd=EXAMPLES,
        capture_output=True,
    )
    if probe.returncode:
        pytest.skip("zeromq.js is not installed: npm install --no-save zeromq@6")
    lines = lines_of([node, str(EXAMPLES / "subscribe.mjs")], endpoint)
    assert lines == ["1.00 s  happy  85%\n", "1.00 s  angry  85%\n"]
