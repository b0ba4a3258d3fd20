"""Recordings in an object store: the recipe of docs/annotate.md, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import fsspec

from edgeser.annotate.annotator import Annotator
from edgeser.annotate.plan import Shard
from edgeser.settings.load import load_settings
from tests.annotate.test_annotate import archive

__all__ = ["archive"]

DOCS = Path(__file__).parents[2] / "docs"


def test_a_shard_in_a_store_gives_the_rows_of_one_on_the_disk(archive: Path) -> None:
    paths = ["0.wav", "b/1.flac", "b/broken.wav"]
    store = fsspec.filesystem("memory")
    for path in paths:
        store.put(str(archive / path), f"/calls/{path}")
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "annotate.md").read_text(), re.DOTALL)
    (recipe,) = [block for block in blocks if "class FromStore" in block]
    names: dict[str, type[Annotator]] = {}
    exec(recipe, names)  # type: ignore[arg-type]
    settings = load_settings(environment={})
    ours = Annotator(settings)(Shard(0, str(archive), paths))
    theirs = names["FromStore"](settings)(Shard(0, "memory://calls", paths))
    assert theirs.segments == ours.segments
    assert theirs.errors.num_rows == ours.errors.num_rows == 1
