"""A folder that may not be read is named, wherever all files below one are asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from edgeser.annotate.files import find
from edgeser.bench.folder import sounds_in
from edgeser.errors import UserError
from edgeser_train.corpora.folder import files_in_folders, sound_files
from tests.sounds import silence
from tests.unprivileged import unprivileged

ANYTHING = re.compile(".*")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: find("mix"),
        lambda: find("mix/**/*.wav"),
        lambda: find("mix/*/*.wav"),
        lambda: sounds_in(Path("mix")),
        lambda: sound_files("mix", Path("mix"), ANYTHING),
        lambda: files_in_folders("mix", Path("mix"), ANYTHING),
    ],
    ids=["annotate", "pattern", "pattern of folders", "bench", "corpus", "corpus of folders"],
)
def test_a_folder_that_may_not_be_read_is_named(
    ask: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # nobody may not come here from above
    for name in ("k", "l"):
        Path("mix", name).mkdir(parents=True)
        soundfile.write(f"mix/{name}/{name}.wav", silence(0.1), 16_000)
    ask()
    Path("mix/l").chmod(0)
    with unprivileged(), pytest.raises(UserError, match="mix/l: Permission denied; change its"):
        ask()
