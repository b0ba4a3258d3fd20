"""/metrics and /healthz of a real daemon."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.sounds import SPEECH_FILE, SPEECH_SEGMENTS, silence, speech
from tests.system.daemons import Daemon, edgeser, running

MONITORING = Path(__file__).parents[2] / "docs" / "monitoring"
DASHBOARD = MONITORING / "grafana-dashboard.json"
ALERTS = MONITORING / "alerts.yml"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
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
    written = len(speech()) + 16_000
    assert written - 320 < found["edgeser_samples_total", stream] <= written
    assert found["edgeser_subscriptions",] == 1
    assert found["edgeser_backlog",] == 0
    (info,) = [key for key in found if key[0] == "edgeser_model_info"]
    assert "name=lightweight-emodb" in info
    assert "backend=onnxruntime/CPU" in info


def test_health_fails_when_deaf(daemon: Daemon, address: str) -> None:
    pipe = daemon.process.stdin
    assert pipe is not None
    pipe.write(silence(0.5).tobytes())
    pipe.flush()
    daemon.wait_for("self.state == 'listening'")
    assert get(address, "/healthz") == (200, "ok\n")
    daemon.wait_for("self.state == 'no_audio'")
    assert get(address, "/healthz") == (503, "stdin: no audio\n")
    assert samples(address)["edgeser_healthy",] == 0
    pipe.write(silence(0.5).tobytes())
    pipe.flush()
    daemon.wait_for("self.state == 'listening'")
    assert get(address, "/healthz")[0] == 200
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
    page = get(address, "/metrics")[1]
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
    assert "7 rules found" in done.stdout


def test_a_request_that_names_another_host_reads_nothing(daemon: Daemon, address: str) -> None:
    daemon.wait_for("self.statuses")
    request = urllib.request.Request(f"http://{address}/metrics", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=10)
    assert error.value.code == 421
    assert "edgeser_" not in error.value.read().decode()
    assert get(f"localhost:{address.rpartition(':')[2]}", "/healthz")[0] in (200, 503)
