"""``edgeser lake ask``: what is asked wrongly, and a lake that is not what it should be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from edgeser.bridges.nats.subjects import Device
from edgeser.cli import main
from edgeser.errors import UserError
from edgeser.lake.queries import Lake
from edgeser.lake.store import Store
from edgeser.lake.tables import Message, sort
from tests.events.helpers import emotion, fault
from tests.unprivileged import unprivileged

FAULT = "opened [/dev/snd] again, [red]soon[/red]"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Two finals and a fault of one device."""
    return filled(tmp_path / "lake")


def filled(folder: Path, site: str = "berlin") -> Path:
    device = Device(site, "hall")
    told = [
        Message(device.subject(event), msgspec.json.encode(event))
        for event in (
            *(msgspec.structs.replace(emotion(n), epoch="e", seq=n, time=1e9) for n in (1, 2)),
            msgspec.structs.replace(fault(FAULT), epoch="e", seq=1, time=1e9),
        )
    ]
    store = Store(folder)
    try:
        store.add(sort(told))
    finally:
        store.close()
    return folder


def ask(lake: Path, question: str, *options: str) -> Result:
    return CliRunner().invoke(main, ["lake", "ask", str(lake), question, *options])


@pytest.mark.parametrize(
    ("question", "options", "said"),
    [
        ("", (), "the question: it is empty; ask mood, silence, day, or in SQL"),
        (";", (), "the question: it is empty"),
        ("SELECT 1 AS a, 2 AS a", ("--json",), "two columns are called 'a'"),
        ("mood", ("--device", "hall"), "only the question 'day' takes them"),
        ("SELECT 1", ("--day", "2026-11-21"), "only the question 'day' takes them"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    lake: Path, question: str, options: tuple[str, ...], said: str
) -> None:
    done = ask(lake, question, *options)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done
    assert said in done.stderr


def test_a_damaged_part_is_named(lake: Path) -> None:
    [part] = lake.glob("finals/*/part-*.parquet")
    part.write_bytes(b"no parquet at all")
    done = ask(lake, "mood")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done
    assert part.name in done.stderr


def test_parts_that_may_not_be_read_are_not_left_out(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.parent.chmod(0o755)
    monkeypatch.chdir(lake.parent)  # nobody may not come here from above
    [day] = lake.glob("finals/day=*")
    Lake(Path("lake"))
    day.chmod(0)
    with unprivileged(), pytest.raises(UserError, match=f"{day.name}: Permission denied"):
        Lake(Path("lake"))


def test_a_folder_may_look_like_a_pattern(lake: Path) -> None:
    odd = lake.with_name("l[a]k? *")
    filled(odd, "paris")
    shutil.copytree(lake, lake.with_name("lak? *"))
    assert Lake(odd).ask("SELECT DISTINCT site FROM finals") == (["site"], [("paris",)])


def test_answers_are_readable_whatever_is_in_them(lake: Path) -> None:
    assert FAULT in ask(lake, "SELECT message FROM faults").stdout
    wide = ask(lake, "SELECT * FROM finals ORDER BY seq").stdout
    assert "…" not in wide
    assert [line for line in wide.splitlines() if line.startswith("seq: ")] == ["seq: 1", "seq: 2"]
    assert "label: happy" in wide
    assert "no rows of site, seq" in ask(lake, "SELECT site, seq FROM speech").stderr


def test_now_is_in_utc_as_the_events_are(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    done = ask(lake, "SELECT now() AS now, now() - now()::TIMESTAMP AS apart", "--json")
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert row["now"].endswith(("Z", "+00:00"))
    assert row["apart"] == "P0D"
