"""The one place that imports torchaudio, on machines without its CUDA extension too.

torchaudio's wheels load a CUDA library that a CPU build of torch does not include. Its transforms
are plain Python and do not need it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_EXTENSION = "torchaudio._extension"


def transforms() -> ModuleType:
    """The module ``torchaudio.transforms``."""
    try:
        return importlib.import_module("torchaudio.transforms")
    except OSError:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        absent = ModuleType(_EXTENSION)
        absent.__dict__.update(
            _IS_TORCHAUDIO_EXT_AVAILABLE=False,
            _IS_ALIGN_AVAILABLE=False,
            _IS_RIR_AVAILABLE=False,
            fail_if_no_align=lambda function: function,
        )
        sys.modules[_EXTENSION] = absent
        return importlib.import_module("torchaudio.transforms")
