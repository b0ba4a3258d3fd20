"""``edgeser bench latency``: every stage is measured, and runs are compared with care."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from edgeser.bench.latency import LatencyReport
from tests.system.daemons import edgeser


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run's report."""
    file = tmp_path_factory.mktemp("bench") / "report.json"
    done = edgeser("bench", "latency", "--seconds", "6", "--json", str(file))
    assert done.code == 0, done.err
    assert "capture to decoded" in done.out
    return file


def test_latency_accounts_for_every_stage(saved: Path) -> None:
    report = json.loads(saved.read_text())
    stages = {name: stage["values"] for name, stage in report["stages"].items()}
    assert report["partials"] >= 4
    assert report["finals"] >= 1
    for i, total in enumerate(stages["total"]):
        summed = sum(values[i] for name, values in stages.items() if name != "total")
        assert summed == pytest.approx(total, rel=0.2, abs=2)
    singles = report["singles"]
    assert singles["dropped_windows"] == 0
    assert singles["gaps"] == 0
    assert singles["ready_s"] > 0
    assert singles["rss_peak_mb"] > 10
    assert report["machine"]["cores"] >= 1
    assert len(report["model"]["sha256"]) == 64
    assert report["format"] == "edgeser-latency-1"
    assert report["speech"] == "a synthetic voice"


def test_compare_page_and_judgement(saved: Path, tmp_path: Path) -> None:
    html = tmp_path / "page.html"
    done = edgeser(
        *("bench", "latency", "--seconds", "5", "--continuous", "--transport", "tcp"),
        *("--compare", str(saved), "--html", str(html)),
        *("--fail-if", "p99_ms>0", "--fail-if", "gaps>0"),
    )
    assert done.code == 1
    assert "p99_ms>0: p99_ms is" in done.err
    assert "gaps" not in done.err
    assert "ratio to the run of" in done.out
    text = html.read_text()
    unlike = "not alike in transport (ipc, now tcp), speech (with pauses, now continuous)"
    for told in (" ".join(done.out.split()), text):
        assert unlike in told
        assert ": treat the ratio with caution" in told
    assert text.count("<svg") == 2
    assert "http" not in text.replace("http-equiv", "")


def test_runs_that_are_not_alike_are_said_to_be(saved: Path) -> None:
    report = msgspec.json.decode(saved.read_bytes(), type=LatencyReport)
    report = msgspec.structs.replace(report, warning="")
    assert report.doubts(report) == ""
    replace = msgspec.structs.replace
    unlike = replace(
        report,
        model=replace(report.model, name="another"),
        backend="tensorrt/GPU",
        machine=replace(report.machine, cpu="Cortex-A76"),
    )
    for said in ("processor (Cortex-A76, now ", "model (another ", "backend (tensorrt/GPU, now "):
        assert said in report.doubts(unlike)
    before = replace(report, continuous=None, speech="")  # of an edgeser that did not say
    assert report.doubts(before) == before.doubts(report) == ""
    other = replace(report, speech="talk.wav", warning="")
    assert "file of speech (a synthetic voice, now talk.wav)" in other.doubts(report)
    disturbed = replace(report, warning="busy machine: the hypervisor took 9% of its cores")
    assert report.doubts(disturbed) == f"the older run had a {disturbed.warning}"


def test_reports_of_before_are_read(saved: Path) -> None:
    old = json.loads(saved.read_text())
    for field in ("speech", "continuous"):
        del old[field]
    report = msgspec.json.decode(json.dumps(old), type=LatencyReport)
    assert (report.speech, report.continuous) == ("", None)
    old["format"] = "edgeser-soak-1"
    with pytest.raises(msgspec.ValidationError, match="edgeser-soak-1"):
        msgspec.json.decode(json.dumps(old), type=LatencyReport)
