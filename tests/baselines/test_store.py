"""The folder of baselines."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import unquote

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeser.baselines.store import BaselineStore
from edgeser.errors import UserError
from edgeser.features import FrontEnd
from edgeser.features.baseline import Baseline
from edgeser.model.centring import LogitBaseline
from tests.unprivileged import NOBODY

FRONT_END = FrontEnd(mels=64, normalise="voice")


def a_baseline(level_db: float = -40.0, frames: int = 500) -> Baseline:
    return Baseline(np.full(64, level_db, np.float32), frames)


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    store = BaselineStore(tmp_path / "new", now=lambda: 1.8e9)
    store.save("mic", FRONT_END, a_baseline(), enrolled=True)
    loaded = store.load("mic", FRONT_END)
    assert loaded is not None
    assert loaded.frames == 500
    np.testing.assert_array_equal(loaded.mean, a_baseline().mean)
    kept = store.read("mic")
    assert kept is not None
    assert (kept.enrolled, kept.speech_s, kept.kept_at) == (True, 5.0, 1.8e9)


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    store = BaselineStore(tmp_path / "new")
    store.save("mic", FRONT_END, a_baseline())
    assert stat.S_IMODE(store.file("mic").stat().st_mode) == 0o600
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder away, which needs root")
def test_what_root_keeps_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    store = BaselineStore(tmp_path / "new")
    store.save("mic", FRONT_END, a_baseline())
    lock = store.lock("mic")
    for path in (store.folder, store.file("mic"), lock.path):
        assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY)


def test_root_writes_through_no_link(tmp_path: Path) -> None:
    store = BaselineStore(tmp_path / "kept")
    store.folder.mkdir()
    (other := tmp_path / "other").write_text("ours")
    store.file("mic").symlink_to(other)
    store.save("mic", FRONT_END, a_baseline())
    assert other.read_text() == "ours"
    assert store.load("mic", FRONT_END) is not None


def test_it_means_nothing_to_another_front_end(tmp_path: Path) -> None:
    store = BaselineStore(tmp_path)
    store.save("mic", FRONT_END, a_baseline())
    assert store.load("mic", msgspec.structs.replace(FRONT_END, hop=320)) is None


def test_each_front_end_has_its_own(tmp_path: Path) -> None:
    """So a model that is tried for an hour costs nothing of what another one knows."""
    store = BaselineStore(tmp_path)
    other = msgspec.structs.replace(FRONT_END, hop=320)
    usual = LogitBaseline("one", Baseline(np.array([1.0, -1.0], np.float32), 500))
    store.save("mic", FRONT_END, a_baseline(), usual, enrolled=True)
    for level_db in (-30.0, -20.0):
        store.save("mic", other, a_baseline(level_db))
    first, second = store.load("mic", FRONT_END), store.load("mic", other)
    assert first is not None
    assert second is not None
    assert (first.mean[0], second.mean[0]) == (-40.0, -20.0)
    kept = store.read("mic")
    assert kept is not None
    assert not kept.enrolled
    assert kept.logit_baseline is None
    [known_before] = kept.others
    assert known_before.enrolled
    assert known_before.logit_baseline is not None
    assert store.remove("mic")
    assert store.load("mic", FRONT_END) is store.load("mic", other) is None


def test_each_model_of_one_front_end_keeps_what_it_usually_says(tmp_path: Path) -> None:
    store = BaselineStore(tmp_path)
    first, second = (
        LogitBaseline(model, Baseline(np.full(2, logit, np.float32), 500))
        for model, logit in (("first", 1.0), ("second", -1.0))
    )
    for usual, level_db in ((first, -40.0), (None, -35.0), (second, -30.0), (second, -20.0)):
        store.save("mic", FRONT_END, a_baseline(level_db), usual, enrolled=usual is first)
    kept = store.read("mic")
    assert kept is not None
    told = [(one.usual and one.usual.model, one.enrolled) for one in (kept, *kept.others)]
    assert told == [("second", False), ("first", True)]
    loaded = store.load("mic", FRONT_END)
    assert loaded is not None
    assert loaded.mean[0] == -20.0


def test_not_for_more_front_ends_than_anybody_has(tmp_path: Path) -> None:
    store = BaselineStore(tmp_path)
    for number in range(20):
        store.save("mic", msgspec.structs.replace(FRONT_END, f_min=float(number)), a_baseline())
    kept = store.read("mic")
    assert kept is not None
    assert len(kept.others) == 7


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    store = BaselineStore(tmp_path)
    store.file("mic").write_bytes(b"{")
    store.save("mic", FRONT_END, a_baseline())
    assert store.load("mic", FRONT_END) is not None


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    store = BaselineStore(tmp_path / "never made")
    assert store.load("mic", FRONT_END) is None
    assert store.version("mic") is None
    assert not store.remove("mic")
    assert list(store.streams()) == []


def test_every_write_is_another_version(tmp_path: Path) -> None:
    store = BaselineStore(tmp_path)
    first = store.save("mic", FRONT_END, a_baseline())
    assert store.version("mic") == first
    second = store.save("mic", FRONT_END, a_baseline())
    assert store.version("mic") == second != first
    assert store.remove("mic")
    assert store.version("mic") is None


@given(name=st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20))
def test_any_name_that_fits_a_file_is_one_file_in_the_folder(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = BaselineStore(tmp_path_factory.mktemp("baselines"))
    store.save(name, FRONT_END, a_baseline())
    assert list(store.streams()) == [name]
    assert store.file(name).parent == store.folder


def test_a_name_too_long_for_a_file_is_shortened(tmp_path: Path) -> None:
    store = BaselineStore(tmp_path)
    names = ["台所のマイク" * 20, "台所のマイク" * 19 + "居間のマイク"]
    for level_db, name in zip((-30.0, -20.0), names, strict=True):
        store.save(name, FRONT_END, a_baseline(level_db))
    loaded = [store.load(name, FRONT_END) for name in names]
    assert [one.mean[0] for one in loaded if one is not None] == [-30.0, -20.0]
    shown = list(store.streams())
    assert all(name.startswith("台所のマイク台所") for name in shown)
    assert {store.file(name) for name in shown} == {store.file(name) for name in names}
    assert all(store.remove(name) for name in names)


def test_the_longest_names_that_fit_a_file_are_not_shortened(tmp_path: Path) -> None:
    for name in ("x" * 120, "é" * 41):
        assert unquote(BaselineStore(tmp_path).file(name).stem) == name


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"front_end": "x"}', b"\xff\xfe", b'{"frames": 1e999}']
)
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    store = BaselineStore(tmp_path)
    store.file("mic").write_bytes(content)
    with pytest.raises(UserError, match="damaged") as told:
        store.load("mic", FRONT_END)
    assert told.value.fix is not None
    assert "edgeser baseline reset" in told.value.fix
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("level", [b"1e300", b"-3e38"])
def test_levels_beyond_reason_are_damage(tmp_path: Path, level: bytes) -> None:
    store = BaselineStore(tmp_path)
    store.save("mic", FRONT_END, a_baseline(-30.0))
    content = store.file("mic").read_bytes()
    store.file("mic").write_bytes(content.replace(b"-30.0", level))
    with pytest.raises(UserError, match="damaged"):
        store.load("mic", FRONT_END)
