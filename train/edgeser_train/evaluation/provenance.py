"""What a figure was made with: versions and the machine."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import torch

from edgeser_train.registry import packages

_LIBRARIES = ("edgeser", "torch", "lightning", "numpy", "soxr", "soundfile", "transformers")


def versions() -> dict[str, str]:
    """Versions of Python, of the installed libraries on which a figure may depend, and of the
    packages whose model, recipes, corpus, loss or protocol was used.
    """
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found | packages()


def machine() -> str:
    """This machine in words: processor, cores that may be used, GPU."""
    cores = len(os.sched_getaffinity(0))
    words = f"{_processor()}, {cores} core{'s' if cores > 1 else ''}"
    if torch.cuda.is_available():
        words += f", {torch.cuda.get_device_name()}"
    return words


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
