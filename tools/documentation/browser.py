"""The example that runs in a browser, with all that it needs in one folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from edgeser import __version__
from edgeser_export.waveform_export import waveform_of_artefact

SOURCE = Path(__file__).parents[2] / "examples" / "browser"
MODEL = "lightweight-emodb"

_OWN = (".html", ".js", ".css")
_FROM_NPM = (
    "onnxruntime-web/dist/ort.wasm.min.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
    "@alexanderolsen/libsamplerate-js/dist/libsamplerate.js",
)
_LICENCES = {
    "onnxruntime-web.txt": "onnxruntime-web/README.md",
    "libsamplerate-js.txt": "@alexanderolsen/libsamplerate-js/LICENSE.md",
}


def assemble(folder: Path) -> None:
    """Copy the page, what npm brought for it, and the model with its front end, into ``folder``.

    Raises OSError where npm has brought nothing: ``npm install --prefix examples/browser``.
    """
    vendor = folder / "vendor"
    vendor.mkdir(parents=True, exist_ok=True)
    for path in SOURCE.iterdir():
        if path.suffix in _OWN:
            text = path.read_text(encoding="utf-8").replace("EDGESER_VERSION", __version__)
            (folder / path.name).write_text(text, encoding="utf-8")
    for name in _FROM_NPM:
        shutil.copy(SOURCE / "node_modules" / name, vendor)
    for name, source in _LICENCES.items():
        shutil.copy(SOURCE / "node_modules" / source, vendor / name)
    waveform_of_artefact(MODEL, folder / "model.onnx")


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
