"""The benchmarks measure the real daemon, compare, judge, and refuse nonsense."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from edgeser.bench import SPEECH_FILE, receiver, sound
from edgeser.bench.figures import Distribution, _resampled, ratios, violated
from edgeser.bench.flops import flops
from edgeser.bench.latency import LatencyReport
from edgeser.bench.machine import CpuTimes, busy_with_others, cpu_times
from edgeser.bench.process import DaemonProcess, daemon
from edgeser.bench.show import histogram
from edgeser.bench.sound import samples_of
from edgeser.bench.throughput import _Run, sources_of
from edgeser.cli import main
from edgeser.errors import UserError
from edgeser.events.schema import SpeechEvent
from edgeser.model.artefact import shipped_models
from edgeser.pcm import SAMPLE_RATE
from edgeser.recognizer import Recognizer
from tests.disks import small_disk  # noqa: F401
from tests.sounds import silence
from tests.system.daemons import EDGESER, Finished, edgeser


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
        assert ": take the ratio with care" in told
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


def named(report: dict[str, Any], benchmark: str) -> bool:
    """Whether it says what was measured, where and how."""
    return (
        report["format"].startswith(f"edgeser-{benchmark}-")
        and {"command", "date", "machine", "warning"} <= set(report)
        and (benchmark == "model" or len(report["model"]["sha256"]) == 64)
        and (benchmark == "model" or report["speech"] == "a synthetic voice")
    )


def test_settings_of_the_environment_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESER_SPEECH_HOP_SECONDS", "none")
    with daemon(["--source", str(SPEECH_FILE)]) as running:
        running.wait_until_ready()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["latency", "--seconds", "0"], "--seconds: expected 3 to 86400, got 0"),
        (["latency", "--compare", "none.json"], "--compare none.json"),
        (["latency", "--compare", __file__], "no report of this version"),
        (["latency", "--fail-if", "p99>20"], "--fail-if 'p99>20': there are"),
        (["latency", "--fail-if", "fast"], "--fail-if 'fast': expected e.g."),
        (["latency", "--speech", "none.wav"], "none.wav"),
        (["latency", "--model", "nonsense"], "model 'nonsense'"),
        (["model", "--threads", "none"], "--threads: expected numbers"),
        (["model", "--batch", "1.5"], "--batch: expected whole numbers"),
        (["model", "--model", "nonsense"], "model 'nonsense'"),
        (["model", "--window", "1,15"], "--window: no model takes one of 15 s, 7 s at most"),
        (["model", "--window", "1,0.001"], "takes windows of 0.01 s or more, got 0.001"),
        (["throughput", "--seconds", "1"], "--seconds: expected 3 to 3600"),
        (["throughput", "--limit", "0"], "--limit: expected milliseconds over 0, got 0"),
        (["throughput", "--limit", "nan"], "--limit: expected milliseconds over 0, got nan"),
        (["throughput", "--limit", "inf"], "--limit: expected milliseconds over 0, got inf"),
        (["throughput", "--hop", "0"], "the daemon ended with 2; it said last: "),
        (["soak", "--hours", "0"], "--hours: expected more than 0"),
    ],
)
def test_nonsense_is_one_line(arguments: list[str], complaint: str) -> None:
    assert complaint in edgeser("bench", *arguments).refusal


@pytest.mark.parametrize("command", ["latency", "soak", "throughput", "model"])
def test_where_no_report_can_be_saved_is_said_before_the_run(command: str, tmp_path: Path) -> None:
    for option in ("--json", "--html") if command == "latency" else ("--json",):
        for wrong in (tmp_path, tmp_path / "none" / "x.json", Path("/proc/x.json")):
            done = CliRunner().invoke(main, ["bench", command, option, str(wrong)])
            assert done.exit_code == 2
            assert f"{wrong}: cannot be written: " in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_without_speech_is_said(tmp_path: Path) -> None:
    file = tmp_path / "silent.wav"
    soundfile.write(file, silence(3), 16_000)
    assert "there is no speech in it" in edgeser("bench", "latency", "--speech", str(file)).refusal


@pytest.mark.parametrize(
    "arguments",
    [["latency", "--seconds", "300"], ["soak", "--hours", "1000"], ["throughput"]],
    ids=lambda arguments: str(arguments[0]),
)
def test_a_daemon_that_is_killed_ends_the_benchmark(arguments: list[str]) -> None:
    bench = subprocess.Popen(
        [*EDGESER, "bench", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        children = _children(bench, "edgeser.bench.receiver", "run")
        os.kill(children["run"], signal.SIGKILL)
        out, err = bench.communicate(timeout=60)
    finally:
        bench.kill()
    refusal = Finished(bench.returncode, out.decode(), err.decode()).refusal
    assert "the daemon was killed (Killed); it said last: " in refusal
    assert not [pid for pid in children.values() if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_benchmark_that_is_ended_leaves_no_process(number: signal.Signals) -> None:
    with tempfile.TemporaryDirectory(prefix="e-") as folder:  # short enough for a socket
        bench = subprocess.Popen(
            [*EDGESER, "bench", "latency", "--seconds", "300"],
            env={**os.environ, "TMPDIR": folder},
            stderr=subprocess.PIPE,
            preexec_fn=_as_in_a_terminal,
        )
        children = _children(bench, "edgeser.bench.receiver", "run")
        bench.send_signal(number)
        _, err = bench.communicate(timeout=60)
        _wait_for_end(children.values())
        if number == signal.SIGKILL:
            assert bench.returncode == -number
        else:
            assert bench.returncode == 128 + number
            assert not list(Path(folder).iterdir())
    assert err == b""


def _as_in_a_terminal() -> None:
    """Tests may themselves run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _wait_for_end(pids: Iterable[int]) -> None:
    until = time.monotonic() + 60
    for pid in pids:
        while "State:\tZ" not in _status(pid):
            assert time.monotonic() < until, f"{pid} lives on"
            time.sleep(0.05)


def _status(pid: int) -> str:
    """What the kernel says of a process; of one that is gone what it says of one that has ended."""
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "State:\tZ"


@pytest.mark.parametrize("command", ["latency", "throughput"])
def test_a_temporary_folder_without_room_is_named(command: str, small_disk: Path) -> None:  # noqa: F811
    done = edgeser("bench", command, env={**os.environ, "TMPDIR": str(small_disk)})
    assert f"{small_disk}/edgeser-bench-" in done.refusal
    assert "set TMPDIR to a folder that has it" in done.refusal
    assert not list(small_disk.iterdir())


def test_a_disk_that_is_full_while_sound_is_written_is_named(small_disk: Path) -> None:  # noqa: F811
    with pytest.raises(UserError, match=r"played\.wav: cannot be written .*; make room, or set TM"):
        sound.write(silence(10), small_disk / "played.wav", 3600)


def test_sound_is_repeated_for_so_long(tmp_path: Path) -> None:
    sample = np.arange(1000, dtype=np.int16)
    sound.write(sample, tmp_path / "played.wav", 0.15)
    played, _ = soundfile.read(tmp_path / "played.wav", dtype="int16")
    assert np.array_equal(played, np.resize(sample, 2400))


@pytest.mark.parametrize("command", ["soak", "throughput"])
def test_a_temporary_folder_with_too_long_a_name_is_named(command: str, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    done = edgeser("bench", command, env={**os.environ, "TMPDIR": str(folder)})
    assert "a Unix socket's path at most 107" in done.refusal
    assert "set TMPDIR to a folder with a shorter name" in done.refusal


def test_a_daemon_that_hangs_ends_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        daemon(["--source", str(SPEECH_FILE), "--await-subscriber"]) as running,
        receiver.receiver(running) as received,
    ):
        events = iter(received)
        next(events)
        os.kill(running.pid, signal.SIGSTOP)
        monkeypatch.setattr(receiver, "HANG_S", 1.0)
        with pytest.raises(UserError, match="the daemon hangs: nothing came of it for"):
            list(events)


def _children(process: subprocess.Popen[bytes], *words: str) -> dict[str, int]:
    """Process ids of its children by a word of their command lines, once all are there."""
    found: dict[str, int] = {}
    until = time.monotonic() + 60
    while len(found) < len(words):
        assert time.monotonic() < until, "it started no such processes"
        time.sleep(0.05)
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            found |= {word: int(child) for word in words if word in command}
    return found


def test_soak_loses_nothing_and_does_not_drift(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    done = edgeser("bench", "soak", "--hours", "0.05", "--model", "streaming6", "--json", str(file))
    assert done.code == 0, done.out + done.err
    report = json.loads(file.read_text())
    assert named(report, "soak")
    assert report["finals"] == report["segments"] >= 20
    assert report["lost_finals"] == report["gaps"] == report["drift_samples"] == 0
    assert report["rss_growth_mb_per_day"] is None
    assert "too short for a trend: it takes 6 h of sound" in done.out
    assert report["last_sample"] == pytest.approx(0.05 * 3600 * 16_000, rel=0.3)


def coughing(folder: Path) -> Path:
    """Speech, and behind it a sound too short for a final."""
    speech = samples_of(SPEECH_FILE)
    begin = round(next(Recognizer().samples(speech)).start * 16_000) + 6200
    cough = speech[begin : begin + 2560]
    file = folder / "cough.wav"
    sound = np.concatenate((speech, silence(2), cough, silence(2)))
    soundfile.write(file, sound, 16_000)
    return file


def test_soak_misses_no_final_of_a_cough(tmp_path: Path) -> None:
    speech, file = coughing(tmp_path), tmp_path / "soak.json"
    done = edgeser(
        *("bench", "soak", "--hours", "0.02", "--speech", str(speech), "--json", str(file))
    )
    assert done.code == 0, done.out + done.err
    report = json.loads(file.read_text())
    assert report["finals"] == report["segments"]
    assert report["lost_finals"] == 0


def test_throughput_misses_only_finals_that_are_to_come() -> None:
    run = _Run(streams=1, begin_s=0, end_s=60)
    for segment, has_final in ((1, True), (2, False)):
        end = SpeechEvent(
            stream="s0", state="end", segment=segment, start=0, end=1, has_final=has_final
        )
        run._take(end, cast(DaemonProcess, None))  # it is asked at a status only
    assert run.lost_finals == 1


def test_model_measures_every_case(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    done = edgeser(
        *("bench", "model", "--model", "lightweight-emodb", "--threads", "1,2"),
        *("--batch", "1,4", "--window", "1,3", "--seconds", "0.1", "--json", str(file)),
    )
    assert done.code == 0, done.err
    report = json.loads(file.read_text())
    assert named(report, "model")
    cases = report["cases"]
    assert len(cases) == 8
    for case in cases:
        assert case["runs"] >= 5
        assert 0 < case["p50_ms"] <= case["p99_ms"]
        assert case["gflops"] > 0
        assert case["product_gflops"] > 0


def test_a_window_that_one_model_does_not_take_is_told() -> None:
    done = edgeser(
        *("bench", "model", "--model", "eca-emodb", "--model", "voices6"),
        *("--batch", "1", "--window", "1,7", "--seconds", "0.1"),
    )
    assert done.code == 0, done.err
    assert "\neca-emodb takes no window of 7 s: left out\n" in done.out


def test_throughput_stops_at_the_first_step_that_is_too_late(tmp_path: Path) -> None:
    file = tmp_path / "throughput.json"
    done = edgeser("bench", "throughput", "--seconds", "4", "--limit", "0.1", "--json", str(file))
    assert done.code == 0, done.err
    report = json.loads(file.read_text())
    assert named(report, "throughput")
    assert report["streams_per_core"] == 0
    (step,) = report["steps"]
    assert step["events"] >= 2
    assert report["warning"] == ("busy machine in 1 of 1 steps" if step["warning"] else "")
    assert (f"({report['warning']}: take it with care)" in done.out) == bool(step["warning"])
    assert step["lost_finals"] == 0
    assert set(step["stage_ms"]) >= {"features", "inference", "total"}


def test_streams_begin_one_after_the_other_and_end_together(tmp_path: Path) -> None:
    tmp_path = tmp_path / 'a "quoted" folder'
    tmp_path.mkdir()
    spoken = np.full(16_000, 1000, np.int16)
    settings = sources_of(tmp_path, spoken, streams=4, spread_s=8.0, seconds=5.0)
    sources = msgspec.toml.decode(settings)["source"]
    assert [s["source"] for s in sources] == [str(tmp_path / f"{i}.wav") for i in range(4)]
    sounds = [soundfile.read(tmp_path / f"{i}.wav", dtype="int16")[0] for i in range(4)]
    assert [len(sound) for sound in sounds] == [13 * 16_000] * 4
    assert [int(np.argmax(sound != 0)) for sound in sounds] == [0, 32_000, 64_000, 96_000]
    assert all(sound[-1] for sound in sounds)


def test_operations_are_counted_from_the_graph() -> None:
    path = shipped_models()["lightweight-emodb"]
    one, four = flops(path, 1, 300), flops(path, 4, 300)
    assert one is not None
    assert four == pytest.approx(4 * one)
    # Two residual blocks: 277 million multiply-adds, by the shapes of the paper. The exported GRU
    # projects its input once for both directions, and then each through an identity.
    steps, units = 75, 3 * 128
    expected = 277e6 - steps * 2048 * units + 2 * steps * units**2
    assert one == pytest.approx(2 * expected, rel=0.05)


def test_conditions() -> None:
    figures = {"p99_ms": 12.0, "gaps": 0.0}
    assert violated(["p99_ms>20", "gaps>0"], figures) == []
    assert violated([" p99_ms >= 12 ", "gaps==0"], figures) == [
        "p99_ms >= 12: p99_ms is 12",
        "gaps==0: gaps is 0",
    ]
    with pytest.raises(UserError, match=r"expected e\.g\."):
        violated(["p99_ms>twenty"], figures)


def test_a_ratio_has_its_interval() -> None:
    slow = {"total": Distribution([20.0 + i % 5 for i in range(200)])}
    fast = {"total": Distribution([10.0 + i % 5 for i in range(200)])}
    ratio, low, high = ratios(fast, slow, "p50")["total"]
    assert low <= ratio <= high
    assert ratio == pytest.approx(12 / 22)
    assert ratios(fast, {}, "p50") == {}


def test_the_interval_of_a_ratio_knows_that_the_runs_are_independent() -> None:
    rng = np.random.default_rng(6)
    run = {"total": Distribution(rng.normal(100, 10, 400).tolist())}
    low, high = run["total"].spread("p50")
    ratio, least, most = ratios(run, run, "p50")["total"]
    assert ratio == 1
    # Two medians, as uncertain as each other: the square root of 2 of one's uncertainty.
    assert most - least == pytest.approx(np.sqrt(2) * (high - low) / 100, rel=0.15)


@pytest.mark.parametrize("count", [1, 2, 7, 400])
@pytest.mark.parametrize("percentile", [50.0, 99.0, 100.0])
def test_percentiles_are_resampled_as_a_bootstrap_does(count: int, percentile: float) -> None:
    rng = np.random.default_rng(3)
    values = rng.gamma(2, 10, count)
    drawn = np.percentile(rng.choice(values, (4000, count)), percentile, axis=1)
    found = _resampled(values.tolist(), percentile, rng)
    assert found.shape == (1000,)
    for quantile in (5, 25, 50, 75, 95):
        below = np.mean(drawn <= np.percentile(found, quantile) + 1e-9)
        strictly = np.mean(drawn < np.percentile(found, quantile) - 1e-9)
        assert strictly - 0.06 <= quantile / 100 <= below + 0.06


def test_a_long_run_is_resampled_in_little_memory() -> None:
    long = Distribution([float(i % 97) for i in range(50_000)])
    tracemalloc.start()
    low, high = long.spread("p50")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert low <= 48 <= high
    assert most < 20e6


def test_a_histogram_shows_its_tail() -> None:
    bars = histogram(Distribution([1.0] * 1000 + [60.0]))
    assert len(bars) == 60
    assert bars[-1] != " "


def test_a_busy_machine_is_said() -> None:
    before = CpuTimes(total=0, idle=0, steal=0)
    idle = CpuTimes(total=100, idle=90, steal=0)
    busy = CpuTimes(total=100, idle=10, steal=5)
    assert busy_with_others(before, idle, ours_s=9) == ""
    said = busy_with_others(before, busy, ours_s=10)
    assert "hypervisor took 5%" in said
    assert "other programs used 75%" in said
    assert busy_with_others(before, busy, 10, "the daemon's core").endswith(" of the daemon's core")


def test_the_time_of_one_core_is_read() -> None:
    cores = [cpu_times(core) for core in range(os.cpu_count() or 1)]
    assert sum(core.total for core in cores) == pytest.approx(cpu_times().total, rel=0.01)
    assert cpu_times(10_000).total >= cores[0].total  # all, where the kernel does not tell it


def test_a_sound_that_breaks_off_at_once_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "torn.flac"
    noise = np.random.default_rng(0).integers(-9000, 9000, SAMPLE_RATE)
    soundfile.write(path, noise.astype(np.int16), SAMPLE_RATE)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"torn\.flac: nothing of it can be read"):
        samples_of(path)
