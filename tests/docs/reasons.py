"""The parts of the documentation that are not run as they stand, and why.

Options of an ``edgeser`` command are checked even so, as are targets of make and extras of pip.
Everything that is not listed here is run.
"""

from __future__ import annotations

COMMANDS = {
    "sudo": "changes the system; tests/system installs and runs the service in a box",
    "sudoedit": "an editor",
    "systemctl": "talks to the system's own services; tests/system runs it in a box",
    "git": "fetches from elsewhere",
    "cd": "goes with what is before it",
    ".": "goes with what is before it",
    "pip": "fetches from elsewhere; the extras that it names are checked",
    "python3 -m venv": "goes with a pip that fetches from elsewhere",
    "make": "the targets are checked, and CI runs them",
    "cmake": "takes a library that few have: tests/docs/test_cpp.py compiles the same",
    "build/cpp/predict": "is run by tests/docs/test_cpp.py",
    "python3 -m http.server": "runs until it is stopped",
    "ssh": "another machine",
    "scp": "another machine",
    "docker": "is not here; tests/trials/container_image.py runs the image",
    "curl": "another machine, or a service that is not running here",
    "nc": "a socket of the service; tests/daemon/test_mute.py speaks to it",
    "for name in kitchen hall": "writes into the service's folder",
    "./microphone.sh": "another machine: tests/audio/network runs it",
    "arecord": "takes a microphone",
    "aplay": "takes a loudspeaker",
    "torchrun": "trains for hours; tests/train runs it with two processes",
    "edgeser run --device": "takes a microphone; tests/system runs it on virtual ones",
    "edgeser run --source tcp:": "runs until it is stopped: tests/audio/network",
    "edgeser run --source -": "takes a microphone before the pipe; tests/audio/test_stdin.py",
    "edgeser run --source talk.flac": "runs until it is stopped: tests/system/test_daemon.py",
    "edgeser run --source talk.flac --fast": "",
    "edgeser keys new server --keys /etc": "the service's own folder; the tutorial has another",
    "edgeser keys allow phone PUBLIC": "a key to be filled in; the tutorial has one",
    "edgeser listen": "runs until it is stopped: tests/events/test_listen.py",
    "edgeser page": "runs until it is stopped: tests/page",
    "edgeser on": "runs until it is stopped: tests/hooks",
    "edgeser bridge": "takes a broker, and runs until it is stopped: tests/bridges",
    "edgeser annotate /data/calls": "takes a Ray cluster: tests/annotate/test_cluster.py",
    "edgeser lake": "takes a server and what it told: tests/bridges",
    "edgeser mute": "takes a daemon: tests/cli/test_commands.py, tests/daemon/test_mute.py",
    "edgeser doctor": "judges the machine it is on: tests/system",
    "edgeser baseline enrol": "takes a microphone: tests/cli/test_baseline.py",
    "edgeser bench": "measures for minutes or hours: tests/bench runs each for seconds",
    "edgeser engine": "takes an NVIDIA GPU: tests/model/tensorrt",
    "tools/voices": "trains for hours",
    "edgeser evaluate --model": "trains for hours; tests/train does on a few sounds",
    "edgeser train": "trains for hours; tests/train does on a few sounds",
    "edgeser report": "takes what was trained: tests/train",
    "edgeser export": "takes what was trained: tests/export",
    "edgeser export lightweight-emodb": "",
    "edgeser predict --model": "takes what was exported: tests/train/test_extending.py",
}
"""Beginnings of commands; the longest match counts. With an empty reason the command is run."""

PAGES = {"docs/tensorrt.md": "takes an NVIDIA GPU: tests/model/tensorrt"}
"""Pages of which no command is run."""

PYTHON = {
    "docs/annotate.md": "takes an archive that was annotated",
    "docs/extending.md": "run by tests/train/test_extending.py",
    "docs/microphones.md": "a microphone elsewhere: tests/audio/network is one",
    "docs/library.md": "run by tests/test_library_docs.py",
    "docs/events.md": "parts of examples, which tests/events/test_examples.py runs whole",
}
"""Pages whose Python is not run by tests/docs."""

OTHER = {
    "js": "part of an example that tests/events/test_examples.py runs",
    "nginx": "takes nginx",
    "ini": "units for systemd: only their form is checked",
    "yaml": "for other programs: only its form is checked",
}
"""Languages that are only read."""
