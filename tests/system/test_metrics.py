"""/metrics and /healthz of a real daemon."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgeser import __version__
from edgeser.bridges import figures as bridge_figures
from edgeser.daemon.reporter import FINAL_FIRST, NEWER_FIRST
from edgeser.events.schema import FAULT_CODES, Latency
from edgeser.lake import figures as lake_figures
from edgeser.settings.schema import DEFAULT_MODEL
from tests.events.helpers import until
from tests.ports import free_port
from tests.sounds import SPEECH_FILE, SPEECH_SEGMENTS, noise, silence, speech
from tests.system.daemons import Daemon, edgeser, running

MONITORING = Path(__file__).parents[2] / "docs" / "monitoring"
DASHBOARD = MONITORING / "grafana-dashboard.json"
ALERTS = MONITORING / "alerts.yml"


@pytest.fixture
def address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def daemon(address: str) -> Iterator[Daemon]:
    env = {"EDGESER_METRICS_LISTEN": address}
    with running("--source", "-", env=env, stdin=subprocess.PIPE) as daemon:
        yield daemon


def get(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=100) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(address: str) -> dict[tuple[str, ...], float]:
    """Value by name and labels."""
    families = text_string_to_metric_families(get(address, "/metrics")[1])
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_what_is_scraped_is_what_was_published(daemon: Daemon, address: str) -> None:
    assert daemon.process.stdin is not None
    daemon.process.stdin.write(speech().tobytes() + silence(1).tobytes())
    daemon.process.stdin.flush()
    daemon.wait_for(f"len(self.finals) == {SPEECH_SEGMENTS}")
    daemon.wait_for("self.statuses and self.statuses[-1].counters.finals == 5")
    found = samples(address)
    stream = "stream=stdin"
    finals = [
        value
        for key, value in found.items()
        if key[0] == "edgeser_emotions_total" and "kind=final" in key
    ]
    assert sum(finals) == SPEECH_SEGMENTS
    for stage in ("capture", "inference", "publish", "total"):
        key = ("edgeser_latency_seconds_count", "kind=final", f"stage={stage}", stream)
        assert found[key] == SPEECH_SEGMENTS
    assert found["edgeser_segments_total", stream] == SPEECH_SEGMENTS
    written = len(speech()) + 16_000  # of which less than a tenth of a second may still wait
    assert written - 1600 < found["edgeser_samples_total", stream] <= written
    assert found["edgeser_subscriptions",] == 1
    assert found["edgeser_backlog",] == 0
    (info,) = [key for key in found if key[0] == "edgeser_model_info"]
    assert f"name={DEFAULT_MODEL}" in info
    assert "backend=onnxruntime/CPU" in info


def test_every_counter_is_there_at_zero_before_anything_was_heard(
    daemon: Daemon, address: str
) -> None:
    daemon.wait_for("self.statuses")
    found = samples(address)
    stream = "stream=stdin"
    labels = [*daemon.statuses[-1].labels, "unknown"]
    for kind in ("partial", "final"):
        for label in labels:
            assert found["edgeser_emotions_total", f"kind={kind}", f"label={label}", stream] == 0
        for stage in Latency.__struct_fields__:
            key = ("edgeser_latency_seconds_count", f"kind={kind}", f"stage={stage}", stream)
            assert found[key] == 0
    for code in FAULT_CODES:
        assert found["edgeser_faults_total", f"code={code}", stream] == 0
    for reason in (NEWER_FIRST, FINAL_FIRST):
        assert found["edgeser_dropped_windows_total", f"reason={reason}", stream] == 0
    for kind in ("emotion", "status", "level"):
        assert found["edgeser_dropped_events_total", stream, f"type={kind}"] == 0
    for total in ("samples", "lost_samples", "overflows", "segments", "rejected_segments"):
        assert found[f"edgeser_{total}_total", stream] == 0
    assert ("edgeser_level_dbfs", stream) not in found


def test_build_process_level_and_journal(daemon: Daemon, address: str) -> None:
    assert daemon.process.stdin is not None
    daemon.process.stdin.write(speech().tobytes() + noise(30, rms=32.768).tobytes())
    daemon.process.stdin.flush()
    daemon.wait_for(f"len(self.finals) == {SPEECH_SEGMENTS}")
    daemon.wait_for("self.statuses and self.statuses[-1].noise_floor_dbfs is not None")
    found = samples(address)
    (build,) = [key for key in found if key[0] == "edgeser_build_info"]
    assert f"version={__version__}" in build
    pid = daemon.process.pid
    stat = Path(f"/proc/{pid}/statm").read_text().split()
    assert found["process_resident_memory_bytes",] == pytest.approx(
        int(stat[1]) * os.sysconf("SC_PAGE_SIZE"), rel=0.5
    )
    assert found["process_cpu_seconds_total",] > 0
    assert found["process_open_fds",] > 5
    assert found["process_start_time_seconds",] == pytest.approx(time.time(), abs=3600)
    assert found["edgeser_journal_off",] == 0
    assert found["edgeser_journal_events",] >= 3 * SPEECH_SEGMENTS  # start, end, final
    assert found["edgeser_journal_bytes",] > 4096
    oldest = found["edgeser_journal_oldest_timestamp_seconds",]
    assert oldest == pytest.approx(daemon.speech[0].time, abs=1)
    for _ in range(200):  # a status tells the level of what came since the one before
        daemon.process.stdin.write(noise(0.2, rms=32.768).tobytes())
        daemon.process.stdin.flush()
        time.sleep(0.2)
        found = samples(address)
        level = found.get(("edgeser_level_dbfs", "stream=stdin"))
        if level == pytest.approx(-60, abs=1):
            break
    assert level == pytest.approx(-60, abs=1)
    assert found["edgeser_noise_floor_dbfs", "stream=stdin"] == pytest.approx(-61, abs=3)


def test_a_journal_that_cannot_be_kept_shows(address: str) -> None:
    nowhere = "/proc/edgeser/journal.db"
    env = {"EDGESER_METRICS_LISTEN": address, "EDGESER_JOURNAL_PATH": nowhere}
    with running("--source", "-", env=env, stdin=subprocess.PIPE) as daemon:
        daemon.wait_for("self.statuses")
        found = samples(address)
        assert found["edgeser_journal_off",] == 1
        assert ("edgeser_journal_events",) not in found
        assert found["edgeser_faults_total", "code=journal_off", "stream=stdin"] == 1


def test_without_a_journal_there_is_none_to_be_off(address: str) -> None:
    env = {"EDGESER_METRICS_LISTEN": address, "EDGESER_JOURNAL_ENABLED": "false"}
    with running("--source", "-", env=env, stdin=subprocess.PIPE) as daemon:
        daemon.wait_for("self.statuses")
        assert not [key for key in samples(address) if key[0].startswith("edgeser_journal")]


def test_prometheus_has_nothing_to_say_against_a_scrape(daemon: Daemon, address: str) -> None:
    daemon.wait_for("self.statuses")
    page = get(address, "/metrics")[1]
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_health_fails_when_deaf(daemon: Daemon, address: str) -> None:
    with daemon.hearing(silence(1)):
        daemon.wait_for("self.state == 'listening'")
        until(lambda: get(address, "/healthz") == (200, "ok\n"))
    daemon.wait_for("self.state == 'no_audio'")
    assert get(address, "/healthz") == (503, "stdin: no audio\n")
    assert samples(address)["edgeser_healthy",] == 0
    with daemon.hearing(silence(1)):
        daemon.wait_for("self.state == 'listening'")
        until(lambda: get(address, "/healthz")[0] == 200)
    assert get(address, "/else")[0] == 404
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


def test_a_port_in_use_or_a_wrong_address_is_one_line(daemon: Daemon, address: str) -> None:
    daemon.wait_for("self.statuses")
    for listen, complaint in (
        (address, "cannot use"),
        ("nowhere", "expected HOST:PORT"),
        ("127.0.0.1:99999", "expected HOST:PORT"),
    ):
        done = edgeser(
            "run",
            "--source",
            str(SPEECH_FILE),
            "--bind",
            f"{daemon.endpoint}2",
            env={"PATH": "/usr/bin:/bin", "EDGESER_METRICS_LISTEN": listen},
        )
        assert complaint in done.refusal


def test_dashboard_and_alerts_ask_only_for_metrics_that_exist(daemon: Daemon, address: str) -> None:
    daemon.wait_for("self.statuses")
    with ExitStack() as stack:
        servers = [
            bridge_figures.serve(bridge_figures.Figures(), "127.0.0.1:0", "mqtt", "broker"),
            bridge_figures.serve(bridge_figures.Figures(), "127.0.0.1:0", "nats", "server"),
            lake_figures.serve(lake_figures.Figures(), "127.0.0.1:0"),
        ]
        for server in servers:
            stack.enter_context(closing(server))
        addresses = [address, *(f"127.0.0.1:{server.port}" for server in servers)]
        page = "".join(get(where, "/metrics")[1] for where in addresses)
    families = {family.name for family in text_string_to_metric_families(page)}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    expressions += re.findall(r"expr: (.*)", ALERTS.read_text())
    asked = {name for text in expressions for name in re.findall(r"edgeser_\w+", text)}
    assert len(asked) > 12
    for name in asked:
        assert re.sub(r"_(total|bucket|count|sum)$", "", name) in families, name


def test_prometheus_accepts_the_alert_rules() -> None:
    command = ["promtool", "check", "rules", str(ALERTS)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "15 rules found" in done.stdout


HOURS_OF_TROUBLE = {
    'edgeser_muted{stream="mic"}': "1x300",
    'edgeser_wrong_pace{stream="mic"}': "0x10 1x290",
    'up{job="edgeser-bridges"}': "0x300",
    "edgeser_nats_missed_total": "0x270 7x30",
    "edgeser_mqtt_cursor_failing": "1x300",
    "edgeser_lake_failing": "1x300",
    "edgeser_lake_held": "3x300",
    "edgeser_lake_written_timestamp_seconds": "0x300",
}
"""Scraped once a minute of a muted daemon, whose microphone is wrong, and bridges that fail."""

HOURS_OF_PEACE = {
    'edgeser_muted{stream="mic"}': "0x300",
    'edgeser_wrong_pace{stream="mic"}': "1x270 0x30",
    'up{job="edgeser-bridges"}': "1x300",
    "edgeser_nats_missed_total": "7x300",
    "edgeser_mqtt_connected": "1x300",
    "edgeser_mqtt_cursor_failing": "0x300",
    "edgeser_lake_failing": "0x300",
    "edgeser_lake_held": "0x300",
    "edgeser_lake_written_timestamp_seconds": "0x300",
}

TROUBLE = ["Muted", "MicrophonePace", "BridgeAway", "BridgeMissed", "CursorFails"]
TROUBLE += ["LakeFails", "LakeNotWritten"]


@pytest.mark.parametrize(("scraped", "alerts"), [(HOURS_OF_TROUBLE, TROUBLE), (HOURS_OF_PEACE, [])])
def test_bridges_and_lake_are_watched(
    scraped: dict[str, str], alerts: list[str], tmp_path: Path
) -> None:
    firing = [{"labels": f'{{alertname="Edgeser{name}"}}', "value": 1} for name in alerts]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": told} for name, told in scraped.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "300m",
                "exp_samples": firing,
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(ALERTS)], "tests": [test]}))
    command = ["promtool", "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_request_that_names_another_host_reads_nothing(daemon: Daemon, address: str) -> None:
    daemon.wait_for("self.statuses")
    request = urllib.request.Request(f"http://{address}/metrics", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=100)
    assert error.value.code == 421
    assert "edgeser_" not in error.value.read().decode()
    assert get(f"localhost:{address.rpartition(':')[2]}", "/healthz")[0] in (200, 503)
