"""``edgeser lake ask``: what is asked wrongly, and a lake that is not what it should be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from edgeser.bridges.nats.subjects import Device
from edgeser.cli import main
from edgeser.errors import UserError
from edgeser.events.schema import AnyEvent
from edgeser.lake.queries import Lake
from edgeser.lake.store import Store
from edgeser.lake.tables import Message, sort
from tests.docs import blocks
from tests.events.helpers import emotion, fault
from tests.unprivileged import unprivileged

FAULT = "opened [/dev/snd] again, [red]soon[/red]"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Two finals and a fault of one device."""
    return filled(tmp_path / "lake")


def filled(folder: Path, site: str = "berlin") -> Path:
    finals = [msgspec.structs.replace(emotion(n), epoch="e", seq=n, time=1e9) for n in (1, 2)]
    broken = msgspec.structs.replace(fault(FAULT), epoch="e", seq=1, time=1e9)
    return told(folder, Device(site, "hall"), *finals, broken)


def told(folder: Path, device: Device, *events: AnyEvent) -> Path:
    store = Store(folder)
    try:
        store.add(
            sort([Message(device.subject(event), msgspec.json.encode(event)) for event in events])
        )
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
        ("moood", (), "the question 'moood': unknown; ask mood, silence, day, or in SQL"),
        ("mood", ("--site", "berlin"), "only the question 'day' takes them"),
        ("SELECT 1", ("--day", "2026-11-21"), "only the question 'day' takes them"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    lake: Path, question: str, options: tuple[str, ...], said: str
) -> None:
    done = ask(lake, question, *options)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done
    assert said in done.stderr


def test_silence_lasts_until_now(tmp_path: Path) -> None:
    now = time.time()
    lost = fault("unplugged")
    ages_h = {"dead": 50, "deaf": 3, "jumped": 2}
    for name, age_h in ages_h.items():
        event = lost if name == "deaf" else emotion()
        at = msgspec.structs.replace(event, epoch="e", seq=1, time=now - 3600 * age_h)
        told(tmp_path, Device("berlin", name), at)
    far = msgspec.structs.replace(emotion(), epoch="f", seq=1, time=4e9)
    for name in ("jumped", "ahead"):
        told(tmp_path, Device("berlin", name), far)
    done = ask(tmp_path, "silence", "--json")
    rows = {row["device"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert list(rows) == [*ages_h, "ahead"]
    for name, age_h in ages_h.items():
        assert age_h <= rows[name]["silent_h"] < age_h + 1
    assert [name for name in rows if rows[name]["ahead_h"]] == ["jumped", "ahead"]
    assert (rows["ahead"]["silent_h"], rows["ahead"]["last_speech"]) == (None, None)
    assert [name for name in rows if rows[name]["deaf_h"]] == ["deaf"]
    assert 3 <= rows["deaf"]["deaf_h"] < 4


def test_a_device_is_told_from_its_namesake_at_another_site(lake: Path) -> None:
    day = ("--device", "hall", "--day", "2001-09-09", "--json")
    assert len(ask(lake, "day", *day).stdout.splitlines()) == 3
    filled(lake, "paris")
    done = ask(lake, "day", *day)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done
    assert "--device hall: berlin and paris each have one; add --site NAME" in done.stderr
    assert len(ask(lake, "day", *day, "--site", "paris").stdout.splitlines()) == 3
    done = ask(lake, "day", *day, "--site", "rome")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done
    assert "--device hall --site rome: the lake has no device of this name" in done.stderr


def test_a_device_or_a_day_that_is_not_there_is_told_what_is(lake: Path) -> None:
    done = ask(lake, "day", "--device", "hal", "--day", "2001-09-09")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done
    assert (
        "--device hal: the lake has no device of this name; there is hall (berlin)" in done.stderr
    )
    for options in ((), ("--json",)):
        done = ask(lake, "day", "--device", "hall", "--day", "2001-09-10", *options)
        assert (done.exit_code, done.stdout) == (0, "")
        assert "no rows on 2001-09-10; the lake has events of hall from 2001-09-09" in done.stderr


@pytest.mark.parametrize("command", [("ask", "mood"), ("sql",)])
def test_a_folder_that_is_not_there_is_no_empty_lake(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = CliRunner().invoke(main, ["lake", command[0], str(tmp_path / "lak"), *command[1:]])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done
    assert f"lake {tmp_path / 'lak'}: there is no such folder" in done.stderr


def test_parts_are_put_together_and_a_device_is_forgotten_as_the_page_says(tmp_path: Path) -> None:
    def run(beginning: str) -> None:
        [block] = [
            block.text
            for block in blocks.of("sh")
            if block.page == "docs/fleet.md" and block.text.startswith(f"cd /srv/lake{beginning}")
        ]
        text = block.replace("/srv/lake", str(tmp_path))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(["sh", "-c", text], env={**os.environ, "PATH": path}, check=True)

    def count() -> list[tuple[object, ...]]:
        question = "SELECT site, count(*) FROM finals GROUP BY site ORDER BY site"
        return Lake(tmp_path).ask(question)[1]

    at = datetime(2026, 11, 20, 12, tzinfo=timezone.utc).timestamp()
    events = [msgspec.structs.replace(emotion(n), epoch="e", seq=n, time=at + n) for n in (1, 2)]
    for site in ("berlin", "paris"):
        for event in events:
            told(tmp_path, Device(site, "hall"), event)
    run("/finals/day=2026-11-20")
    assert [part.name for part in tmp_path.glob("finals/*/*")] == ["part-0.parquet"]
    told(tmp_path, Device("paris", "hall"), *events)
    assert count() == [("berlin", 2), ("paris", 2)]
    run("\n")
    assert count() == [("paris", 2)]
    told(tmp_path, Device("paris", "hall"), *events)
    assert count() == [("paris", 2)]
    assert not (tmp_path / "kept").exists()


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


def test_a_folder_that_duckdb_cannot_open_is_one_line(tmp_path: Path) -> None:
    lake = filled(tmp_path / os.fsdecode(b"caf\xe9"))
    for command in (["ask", str(lake), "mood"], ["sql", str(lake)]):
        done = CliRunner().invoke(main, ["lake", *command])
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done
        assert "whose name is not UTF-8; rename it" in done.stderr


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
