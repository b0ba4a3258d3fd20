"""``edgeser mute`` over the real socket of a real daemon."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
from pathlib import Path

from edgeser.doctor.installation import examine
from edgeser.settings.schema import EventSettings, Settings
from tests.sounds import monologue, silence
from tests.system.daemons import Finished, edgeser, running


def muted(*arguments: str) -> Finished:
    return edgeser("mute", *arguments, timeout_s=300)


def test_what_is_heard_while_muted_does_not_count() -> None:
    with running("--source", "-", stdin=subprocess.PIPE) as daemon:
        pipe = daemon.process.stdin
        assert pipe is not None
        pipe.write(monologue(2).tobytes())
        pipe.flush()
        daemon.wait_for("self.emotions", 300)
        daemon.wait_for("self.statuses and self.statuses[-1].position_s >= 2", 300)
        at = ["--connect", daemon.endpoint]
        assert muted(*at).out == "not muted\n"
        assert muted("on", *at).out == "muted\n"
        daemon.wait_for("self.statuses[-1].muted", 300)
        events = EventSettings(bind=(daemon.endpoint,))
        [finding] = examine(Settings(events=events), only=["endpoints"])
        assert "is held by a daemon that runs (stdin: muted)" in finding.found
        assert finding.ok, "somebody asked for it"
        assert finding.fix == f"edgeser mute off --connect {daemon.endpoint}"
        pipe.write(monologue(4).tobytes())
        pipe.flush()
        # Less than a tenth of a second may still wait for more.
        daemon.wait_for("self.statuses[-1].position_s > 5.9", 300)
        assert muted("off", *at).out == "not muted\n"
        pipe.write(monologue(2).tobytes() + silence(1).tobytes())
        pipe.close()
        daemon.wait_for("len(self.finals) == 2", 300)
        answer = json.loads(muted("--for", "600", "--json", *at).out)
        daemon.signal(signal.SIGTERM)
        assert daemon.wait(300) == 0
    assert answer["muted"]
    assert 0 < answer["left_s"] <= 600
    first, second = daemon.finals
    assert first.end <= 2.02
    assert second.start >= 5.98
    assert all(event.end <= 2.02 or event.start >= 5.98 for event in daemon.emotions)
    assert daemon.statuses[-1].counters.lost_samples == 0
    assert not daemon.gaps


def test_who_may_mute_is_a_setting(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    for mute_by, mode in (("owner", 0o600), ("group", 0o660), ("nobody", None)):
        file.write_text(f'[events]\nmute_by = "{mute_by}"\n')
        arguments = ["--settings", str(file), "--source", "-"]
        with running(*arguments, stdin=subprocess.PIPE) as daemon:
            daemon.wait_for("self.statuses", 300)
            path = Path(daemon.endpoint.removeprefix("ipc://") + ".mute")
            assert (stat.S_IMODE(path.stat().st_mode) if path.exists() else None) == mode
            done = muted("--connect", daemon.endpoint)
            assert (done.code == 0) == (mode is not None)
            daemon.signal(signal.SIGTERM)
            assert daemon.wait(300) == 0
            assert not path.exists()


def test_a_daemon_elsewhere_cannot_be_muted(tmp_path: Path) -> None:
    over_tcp = muted("on", "--connect", "tcp://10.0.0.7:7788")
    assert "can only be muted on its own machine" in over_tcp.refusal
    none = muted("on", "--connect", f"ipc://{tmp_path}/events.sock")
    assert "no daemon takes requests to mute there" in none.refusal
    assert "'off' has no end" in muted("off", "--for", "3").refusal
