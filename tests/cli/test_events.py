"""``edgeser events`` and ``edgeser listen --since`` on what a real daemon has left."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeser.cli import main
from edgeser.events.journal.store import JournalStore
from tests.disks import filled
from tests.events.journals import entry
from tests.sounds import SPEECH_FILE, SPEECH_SEGMENTS
from tests.system.daemons import Daemon, edgeser, running
from tests.unprivileged import unprivileged


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Path]]:
    """A daemon that has heard a file, and its journal."""
    file = tmp_path_factory.mktemp("journal") / "journal.db"
    variables = {"EDGESER_JOURNAL_PATH": str(file)}
    with running("--source", str(SPEECH_FILE), "--fast", env=variables) as daemon:
        daemon.wait_for(f"len(self.finals) == {SPEECH_SEGMENTS}")
        yield daemon, file


def events(file: Path, *options: str) -> str:
    done = edgeser("events", "--journal", str(file), *options)
    assert done.code == 0, done.err
    return done.out


def test_a_journal_that_may_not_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # nobody may not come here from above
    Path("journal.db").touch(mode=0)
    with unprivileged():
        done = CliRunner().invoke(main, ["events", "--journal", "journal.db"])
    assert done.exit_code == 2
    assert done.stderr == "edgeser: journal journal.db: Permission denied; try sudo\n"


def test_as_json_they_are_what_was_published(heard: tuple[Daemon, Path]) -> None:
    daemon, file = heard
    lines = [json.loads(line) for line in events(file, "--json").splitlines()]
    published = [e for e in daemon.events if e in [*daemon.finals, *daemon.speech]]
    assert [(e["type"], e["seq"]) for e in lines] == [(e.type, e.seq) for e in published]
    # The stamp of the one that was sent is taken later than that of the one that is kept.
    assert all(e["time"] <= p.time for e, p in zip(lines, published, strict=True))


def test_by_time_topic_and_label(heard: tuple[Daemon, Path]) -> None:
    daemon, file = heard
    assert len(events(file, "--topic", "emotion.", "--since", "1h").splitlines()) == SPEECH_SEGMENTS
    assert events(file, "--before", "2020-01-01") == ""
    for moment in ("2100-01-01T10:00+01:00", "2100-01-01T09:00:00Z"):
        assert events(file, "--since", moment) == ""
    assert len(events(file, "--count", "2").splitlines()) == 2
    label = daemon.finals[0].label
    expected = sum(final.label == label for final in daemon.finals)
    assert len(events(file, "--label", label).splitlines()) == expected
    assert events(file, "--label", "bored") == ""


def test_a_label_that_no_event_has_is_told(heard: tuple[Daemon, Path]) -> None:
    daemon, file = heard
    label = daemon.finals[0].label
    labels = ", ".join(sorted({final.label for final in daemon.finals}))
    said = edgeser("events", "--journal", str(file), "--label", label.upper()).err
    assert said == f"no event in {file} has label {label.upper()!r}; there are {labels}\n"
    done = edgeser("events", "--journal", str(file), "--label", label, "--before", "2020-01-01")
    assert (done.out, done.err) == ("", ""), "there are some, only not then"


def test_as_csv(heard: tuple[Daemon, Path]) -> None:
    daemon, file = heard
    rows = list(csv.DictReader(io.StringIO(events(file, "--csv", "--topic", "emotion."))))
    assert [row["what"] for row in rows] == [final.label for final in daemon.finals]
    assert [float(row["end"]) for row in rows] == pytest.approx([f.end for f in daemon.finals])


def test_listen_since_prints_the_past_first(heard: tuple[Daemon, Path]) -> None:
    daemon, _ = heard
    arguments = ("--connect", daemon.endpoint, "--topic", "emotion.", "--count", "2", "--json")
    everything = edgeser("listen", *arguments, "--since", "all")
    first, second = (json.loads(line)["seq"] for line in everything.out.splitlines())
    epoch = daemon.finals[0].epoch
    rest = edgeser("listen", *arguments, "--since", f"{epoch}:{first}")
    assert json.loads(rest.out.splitlines()[0])["seq"] == second


def test_a_daemon_that_may_not_keep_a_journal_says_so_and_publishes_everything() -> None:
    nowhere = {"EDGESER_JOURNAL_PATH": "/proc/edgeser/journal.db"}
    with running("--source", str(SPEECH_FILE), "--fast", env=nowhere) as daemon:
        daemon.wait_for(f"len(self.finals) == {SPEECH_SEGMENTS}")
        assert not daemon.gaps
        assert not daemon.statuses[-1].journal
        assert "journal_off" in daemon.log.read_text()  # it may be older than our subscription


def test_the_end_of_speech_says_whether_a_final_follows(heard: tuple[Daemon, Path]) -> None:
    daemon, _ = heard
    ends = [event for event in daemon.speech if event.state == "end"]
    assert [end.has_final for end in ends] == [True] * SPEECH_SEGMENTS
    lengths = sorted(end.end - end.start for end in ends if end.end is not None)
    minimum = {"EDGESER_SPEECH_MIN_SECONDS": str(lengths[SPEECH_SEGMENTS // 2])}
    with running("--source", str(SPEECH_FILE), "--fast", "--once", env=minimum) as picky:
        assert picky.wait() == 0
        ends = [event for event in picky.speech if event.state == "end"]
        assert len(ends) == SPEECH_SEGMENTS
        waited_for = [end.segment for end in ends if end.has_final]
        assert [final.segment for final in picky.finals] == waited_for
        assert 0 < len(waited_for) < SPEECH_SEGMENTS


def test_a_daemon_whose_journal_is_not_wanted_keeps_none(tmp_path: Path) -> None:
    variables = {"EDGESER_JOURNAL_ENABLED": "false", "XDG_STATE_HOME": str(tmp_path)}
    with running("--source", str(SPEECH_FILE), "--fast", env=variables) as daemon:
        daemon.wait_for(f"len(self.finals) == {SPEECH_SEGMENTS}")
        assert not daemon.faults
    assert list(tmp_path.iterdir()) == []


def test_the_last_few_and_those_of_a_stream(heard: tuple[Daemon, Path]) -> None:
    daemon, file = heard
    everything = events(file, "--json").splitlines()
    assert events(file, "--json", "--last", "2").splitlines() == everything[-2:]
    assert events(file, "--stream", daemon.finals[0].stream, "--json").splitlines() == everything
    assert events(file, "--stream", "elsewhere") == ""


def test_listen_since_a_time(heard: tuple[Daemon, Path]) -> None:
    daemon, _ = heard
    arguments = ("--connect", daemon.endpoint, "--topic", "emotion.", "--count", "1", "--json")
    done = edgeser("listen", *arguments, "--since", "1h", "--timeout", "60")
    assert json.loads(done.out.splitlines()[0])["seq"] == daemon.finals[0].seq


def test_what_is_deleted_is_gone_while_the_daemon_runs(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    variables = {"EDGESER_JOURNAL_PATH": str(file)}
    with running("--source", str(SPEECH_FILE), "--fast", env=variables) as daemon:
        daemon.wait_for(f"len(self.finals) == {SPEECH_SEGMENTS}")
        before = file.stat().st_size + file.with_name("journal.db-wal").stat().st_size
        label = daemon.finals[0].label
        mood = sum(final.label == label for final in daemon.finals)
        assert events(file, "--delete", "--label", label).startswith(f"{mood} events deleted")
        assert events(file, "--label", label) == ""
        assert events(file, "--topic", "speech.") != ""
        aside = file.with_name("journal.db.corrupt-20261123T000000-0")
        aside.touch()
        done = edgeser("events", "--journal", str(file), "--delete", "--all")
        assert f"{aside}: damaged, not touched; remove it by hand" in done.err
        assert events(file) == ""
        stored = b"".join(path.read_bytes() for path in tmp_path.glob("journal.db*"))
        assert b'"segment":' not in stored, "overwritten, and out of the log"
        assert len(stored) <= before + 65_536  # the shared memory of the log
    assert "either a selection or --all" in edgeser("events", "--delete").refusal
    for option in ("--json", "--csv"):
        refusal = edgeser("events", "--delete", "--all", option).refusal
        assert "--delete takes no --count, --last, --json or --csv" in refusal
    assert (
        "either a selection or --all"
        in edgeser("events", "--delete", "--all", "--label", "sad").refusal
    )


def test_on_a_full_disk_nothing_is_deleted_and_it_is_said(small_disk: Path) -> None:
    file = small_disk / "journal.db"
    store = JournalStore(file, "a")
    store.append([entry(seq) for seq in range(1, 100)])
    store.close()
    filled(small_disk)
    refusal = edgeser("events", "--journal", str(file), "--delete", "--all").refusal
    assert refusal.startswith(f"edgeser: journal {file}: cannot be changed: ")


def test_a_journal_of_a_later_version_is_named_once(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    JournalStore(file, "a").close()
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    for options in (["--json"], ["--delete", "--all"]):
        refusal = edgeser("events", "--journal", str(file), *options).refusal
        assert refusal == f"edgeser: journal {file}: a later version of edgeser made it (format 9)"


@pytest.mark.parametrize("spoilt", [b"[" * 100_000 + b"]" * 100_000, b"{}", b"\xff"])
def test_what_is_no_event_is_left_out_and_told(tmp_path: Path, spoilt: bytes) -> None:
    file = tmp_path / "journal.db"
    store = JournalStore(file, "a")
    nested = b'{"type":"fault","more":' + spoilt + b"}"
    store.append([entry(1)._replace(payload=nested)])
    store.close()
    done = edgeser("events", "--journal", str(file))
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("skipped, not understood: "), done.err
    assert len(done.err.splitlines()) == 1


def test_what_a_user_gets_wrong_is_one_line(tmp_path: Path) -> None:
    assert "there is none" in edgeser("events", "--journal", str(tmp_path / "no.db")).refusal
    (tmp_path / "text.db").write_text("no journal")
    assert "text.db" in edgeser("events", "--journal", str(tmp_path / "text.db")).refusal
    for moment in ("yesterday", "999999d", "999999999d"):
        assert f"time '{moment}': expected" in edgeser("events", "--since", moment).refusal
    assert "--json and --csv" in edgeser("events", "--json", "--csv").refusal
    for wrong in ("x:y", "yesterday", "10min", "18:00"):
        assert f"since '{wrong}': neither a time" in edgeser("listen", "--since", wrong).refusal
