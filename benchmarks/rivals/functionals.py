"""openSMILE's functionals of whole utterances, kept on disk.

ComParE_2016: statistics of 65 low-level descriptors and of their slopes over time. openSMILE's
licence is for research only: it is measured here, never shipped.
"""

from __future__ import annotations

import io
import sys
import zipfile
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import opensmile

from edgeser.features.front_end import Floats
from edgeser.pcm import SAMPLE_RATE
from edgeser_train.corpora import Corpus, Utterance
from edgeser_train.files import write_whole

_PRINTED_EVERY = 500


def functionals_of(corpus: Corpus, folder: Path | None, jobs: int) -> Floats:
    """The functionals of all utterances of one corpus, in their order: (utterances, 6373) float32.

    Read from ``FOLDER/NAME.npz`` if that still matches the files, otherwise computed by ``jobs``
    processes and kept there, with the name, speaker and label of each row and the names of the
    columns. Raises UserError for a sound that cannot be read.
    """
    version = f"{corpus.fingerprint} opensmile {opensmile.__version__}"
    kept = None if folder is None else folder / f"{corpus.name}.npz"
    if kept is not None and (values := _read(kept, version)) is not None:
        return values
    rows = []
    with ProcessPoolExecutor(jobs) as pool:
        for row in pool.map(_of_utterance, corpus.utterances, chunksize=8):
            rows.append(row)
            if not len(rows) % _PRINTED_EVERY:
                print(f"{corpus.name}: {len(rows)} of {len(corpus.utterances)}", file=sys.stderr)
    values = np.stack(rows)
    if kept is not None:
        arrays = {
            "x": values,
            "names": np.array(_smile().feature_names),
            "version": np.array(version),
            **{
                key: np.array([getattr(u, key) for u in corpus.utterances])
                for key in ("name", "speaker", "label")
            },
        }
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_whole(kept, buffer.getvalue())
    return values


def _read(path: Path, version: str) -> Floats | None:
    """The values kept in a file; None if there is none, or it is of other files."""
    try:
        with np.load(path) as arrays:
            values: Floats = arrays["x"]
            return values if str(arrays["version"]) == version else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _of_utterance(utterance: Utterance) -> Floats:
    """Shape (6373,); a functional that is not a number, as of an utterance without voice, is 0."""
    sound = utterance.samples().astype(np.float32) / 32768
    values: Floats = _smile().process_signal(sound, SAMPLE_RATE).to_numpy(np.float32)[0]
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


@cache
def _smile() -> opensmile.Smile:
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.ComParE_2016,
        feature_level=opensmile.FeatureLevel.Functionals,
    )
