"""The past: searched, summed up and taken away, through the page's own URLs."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from .conftest import PAST
from .world import Daemon, PageProcess, emotion, shipped, status, until, write_journal

DAY = f"since={PAST - 60}&before={PAST + 86_400}"


def found(page: PageProcess, query: str) -> list[tuple[str, str]]:
    events = page.ask(f"/api/events?{query}")["events"]
    return [(e["event"]["type"], e["event"].get("label", "")) for e in events]


def test_by_time(page: PageProcess) -> None:
    assert [kind for kind, _ in found(page, DAY)] == [
        "speech", "speech", "emotion", "emotion", "fault",
    ]  # fmt: skip
    assert found(page, f"since={PAST + 86_400}&before={PAST + 99_999}") == [("emotion", "sad")]


def test_by_label_stream_confidence_and_topic(page: PageProcess) -> None:
    assert found(page, f"{DAY}&label=angry&label=sad") == [("emotion", "angry")]
    assert found(page, f"{DAY}&stream=door") == [("emotion", "angry")]
    assert found(page, f"{DAY}&topic=fault.") == [("fault", "")]
    assert len(found(page, f"{DAY}&confidence=0.8")) == 2
    assert found(page, f"{DAY}&confidence=0.81") == []


def test_page_by_page_in_both_orders(page: PageProcess) -> None:
    for order in ("oldest", "newest"):
        whole = page.ask(f"/api/events?{DAY}&order={order}")
        parts, after = [], ""
        while True:
            part = page.ask(f"/api/events?{DAY}&order={order}&limit=2{after}")
            parts += part["events"]
            if part["next"] is None:
                break
            after = f"&after={part['next']}"
        assert parts == whole["events"]
        assert whole["next"] is None


def test_events_are_told_as_they_were_published(page: PageProcess, daemon: Daemon) -> None:
    (event,) = page.ask(f"/api/events?{DAY}&label=happy")["events"]
    assert event["event"]["scores"]["happy"] == 0.8
    assert event["event"]["epoch"] == "0ld"


def test_the_csv_is_that_of_the_command(page: PageProcess, daemon: Daemon) -> None:
    code, headers, body = page.get(f"/api/events.csv?{DAY}")
    assert code == 200
    assert headers["content-disposition"] == 'attachment; filename="edgeser-events.csv"'
    done = subprocess.run(
        [sys.executable, "-m", "edgeser", "events", "--csv", "--journal", str(daemon.journal)]
        + ["--before", datetime.fromtimestamp(PAST + 86_400).isoformat()],
        capture_output=True,
        check=True,
    )
    assert body == done.stdout
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    assert [row["what"] for row in rows[2:4]] == ["happy", "angry"]


def test_the_json_holds_what_is_shown(page: PageProcess) -> None:
    events = json.loads(page.get(f"/api/events.json?{DAY}&label=happy")[2])
    assert [event["label"] for event in events] == ["happy"]
    assert json.loads(page.get(f"/api/events.json?{DAY}&label=none")[2]) == []


def test_a_long_download_is_whole(daemon: Daemon, tmp_path: Path, page: PageProcess) -> None:
    from edgeser.page import history
    from edgeser.page.query import Query

    file = tmp_path / "journal.db"
    write_journal(file, ((PAST + i, emotion(kind="final", segment=i + 1)) for i in range(2500)))
    query = Query(limit=1000)
    seen: list[int] = []
    after = None
    while True:
        part = history.search(file, Query(limit=1000, after=after))
        seen += [found.id for found in part.events]
        after = part.next
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 2500
    assert history.search(file, query).next is not None


def test_the_timeline_has_finals_and_faults_in_columns(page: PageProcess) -> None:
    line = page.ask(f"/api/timeline?{DAY}&topic=emotion.&topic=fault.")
    assert [line["labels"][i] for i in line["label"]] == ["happy", "angry"]
    assert [line["streams"][i] for i in line["stream"]] == ["mic", "door"]
    assert line["length_ms"] == [3000, 2000]
    assert line["end_ms"] == [63_000, 3_660_000]
    assert line["confidence"] == [80, 80]
    assert [fault["code"] for fault in line["faults"]] == ["audio_lost"]


def test_bins_sum_up(page: PageProcess) -> None:
    edges = f"{PAST - 60},{PAST + 86_400},{PAST + 172_800}"
    first, second = page.ask(f"/api/bins?edges={edges}")
    assert first == {"finals": 2, "speech_s": {"happy": 3.0, "angry": 2.0}, "faults": 1}
    assert second == {"finals": 1, "speech_s": {"sad": 4.0}, "faults": 0}
    assert page.get("/api/bins?edges=2,1")[0] == 400


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("timeline?since=-1e308", "since: expected a number from -1e+11 to 1e+11, got '-1e308'"),
        ("timeline?since=1&since=2", "since: given 2 times, expected once"),
        ("timeline?limit=5", "limit: expected one of before, confidence, label, since"),
        ("events?order=oops", "order: expected oldest or newest, got 'oops'"),
        ("events?limit=0", "limit: expected 1 to 1000, got 0"),
        ("events?labels=sad", "labels: expected one of after, before, confidence, label"),
        ("events?foo=&limit=1", "foo: expected one of after, before, confidence, label"),
        ("events?foo", "foo: expected one of after, before, confidence, label"),
        ("events?limit=", "limit: expected a whole number, got ''"),
        ("events?since=5&before=1", "before: expected a time after since, 5.0, got 1.0"),
        ("timeline?since=", "since: expected a number from -1e+11 to 1e+11, got ''"),
        ("events.csv?stream=&label=sad", "stream: at most 64, of 1 to 128 characters"),
        ("events.csv?label=", "label: at most 64, of 1 to 128 characters"),
        ("events.csv?limit=5", "limit: expected one of before"),
        ("bins?edges=1,2&since=1", "since: expected one of confidence, edges, label"),
        ("bins?edges=1,1e300", "edges: expected a number from -1e+11 to 1e+11"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_line(page: PageProcess, url: str, said: str) -> None:
    code, _, body = page.get(f"/api/{url}")
    assert code == 400
    assert json.loads(body)["error"].startswith(said)


def test_how_far_the_journal_goes(page: PageProcess) -> None:
    held = page.ask("/api/journal")
    assert held["first"] == PAST
    assert held["events"] >= 7
    assert held["bytes"] > 0


def test_the_card_of_the_model_that_runs(page: PageProcess) -> None:
    sha256 = shipped("lightweight-emodb").sha256
    card = page.ask(f"/api/model/lightweight-emodb/{sha256}")
    assert card["labels"] == ["angry", "happy", "neutral", "sad"]
    assert 0 < card["training"]["ua"]["low"] < 1
    assert page.get(f"/api/model/lightweight-emodb/{'0' * 64}")[0] == 400
    assert page.get(f"/api/model/no-such-model/{sha256}")[0] == 400


def test_a_model_that_was_scored_on_unseen_corpora_alone_has_no_other_figures(
    page: PageProcess,
) -> None:
    model = shipped("streaming6")
    card = page.ask(f"/api/model/{model.name}/{model.sha256}")
    training = card["training"]
    assert (training["ua"], training["wa"], training["ece"]) == (None, None, None)
    assert card["unseen"]["corpora"] == ["savee", "ravdess", "ased", "turev"]
    assert 0 < card["unseen"]["rows"][0]["ua4"]["low"] < 1


def test_a_journal_that_is_not_there_is_said_to_be_missing(daemon: Daemon, tmp_path: Path) -> None:
    page = PageProcess(
        *("--connect", daemon.endpoint, "--journal", str(tmp_path / "none.db")), folder=tmp_path
    )
    try:
        code, _, body = page.get("/api/events")
        assert code == 404
        assert "there is none yet" in json.loads(body)["error"]
        assert "unless journal.enabled is false" in json.loads(body)["error"]
    finally:
        page.close()


def test_without_a_file_the_past_comes_by_replay(daemon: Daemon, tmp_path: Path) -> None:
    page = PageProcess("--connect", daemon.endpoint, folder=tmp_path)
    try:
        code, _, body = page.get("/api/events")
        assert (code, "not all past events" in json.loads(body)["error"]) == (404, True)
        told = (status(), emotion(kind="final", label="sad", segment=77))
        until(lambda: daemon.tell(*told) or page.get("/api/events")[0] == 200, "all is there")
        assert len(found(page, DAY)) == 5
        assert found(page, f"{DAY}&label=angry") == [("emotion", "angry")]
    finally:
        page.close()
