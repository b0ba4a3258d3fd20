"""What an installed edgeser hears in its bundled sounds, as JSON; needs nothing but edgeser.

python probe.py versions | models | golden MODEL | events
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

EDGESER = [sys.executable, "-m", "edgeser"]


def versions() -> dict[str, str]:
    """Versions of edgeser and of what it runs on."""
    import numpy as np
    import onnxruntime

    import edgeser

    return {
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
        "edgeser": edgeser.__version__,
    }


def models() -> list[str]:
    """Names of the shipped models."""
    from edgeser.model.artefact import shipped_models

    return list(shipped_models())


def golden(name: str) -> list[list[str]]:
    """Scores of a model on its golden vectors: float32, in hexadecimal, exact.

    A model that drifts from them is refused (``UserError``).
    """
    from edgeser.model.golden import waveform
    from edgeser.model.model import load_model

    model = load_model(name)
    sounds = [waveform(golden.seed, golden.seconds) for golden in model.info.golden]
    scores = model.scores([model.pieces(sound) for sound in sounds])
    return [[float(score).hex() for score in row] for row in scores]


def events() -> list[dict[str, Any]]:
    """The daemon's events for the bundled sound, except those that come by the clock."""
    from edgeser.bench import SPEECH_FILE

    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        endpoint = f"ipc://{folder}/events.sock"
        listener = subprocess.Popen(
            [*EDGESER, "listen", "--connect", endpoint, "--json"], stdout=subprocess.PIPE, text=True
        )
        daemon = subprocess.Popen(
            [*EDGESER, "run", "--once", "--fast", "--await-subscriber", "--bind", endpoint]
            + ["--source", str(SPEECH_FILE)],
            env={**os.environ, "EDGESER_JOURNAL_PATH": f"{folder}/journal.db"},
        )
        heard = []
        assert listener.stdout is not None
        for line in listener.stdout:
            event = json.loads(line)
            if event["type"] not in ("status", "level"):
                heard.append(event)
            if event["type"] == "status" and event["state"] == "stopping":
                break
        status = daemon.wait()
        listener.terminate()
        listener.wait()
    if status:
        sys.exit(f"the daemon's exit code is {status}")
    return heard


def main() -> None:
    """Print what is asked for."""
    asked: dict[str, Callable[..., object]] = {
        "versions": versions,
        "models": models,
        "golden": golden,
        "events": events,
    }
    json.dump(asked[sys.argv[1]](*sys.argv[2:]), sys.stdout)


if __name__ == "__main__":
    main()
