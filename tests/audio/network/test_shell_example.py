"""examples/microphone.sh, which needs no more than arecord and openssl."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from edgeser.audio.network import server as server_module
from edgeser.audio.network.server import (
    tls_context,
)
from tests.audio.network.serving import KITCHEN, TEN_S, serving
from tests.certificates import certificates
from tests.patience import PATIENCE_S, until

MICROPHONE_SH = Path(__file__).parents[3] / "examples" / "microphone.sh"


@pytest.mark.parametrize("end", ["\n", ""], ids=["newline", "no newline"])
def test_the_shell_example_sends_over_tls_and_comes_back(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "IDLE_TIMEOUT_S", PATIENCE_S)
    cert, key = certificates(tmp_path)
    (tmp_path / "raw").write_bytes(TEN_S.astype("<i2").tobytes())
    (tmp_path / "token").write_text(f"{KITCHEN}{end}")
    with serving(tls=tls_context(cert, key), stall_s=PATIENCE_S) as heard:
        where = f"localhost:{heard.port}"
        sender = subprocess.Popen(
            [MICROPHONE_SH, where, tmp_path / "token", cert],
            env={**os.environ, "RECORD": f"cat {tmp_path / 'raw'}"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            until(lambda: len(heard.samples("kitchen")) == len(TEN_S))
            with monkeypatch.context() as patch:  # it says no more, and is cut
                patch.setattr(server_module, "IDLE_TIMEOUT_S", 0.1)
                until(lambda: heard.faults("kitchen"))
            until(lambda: len(heard.samples("kitchen")) >= 2 * len(TEN_S))  # connected again
            assert heard.samples("kitchen")[: len(TEN_S)] == TEN_S.tolist()
            assert heard.faults("kitchen")[:2] == ["audio_lost", "audio_restored"]
        finally:
            os.killpg(sender.pid, 9)
            sender.wait()


@pytest.mark.parametrize("missing", ["token", "cert.pem"])
def test_the_shell_example_ends_when_a_file_is_missing(missing: str, tmp_path: Path) -> None:
    for name in {"token", "cert.pem"} - {missing}:
        (tmp_path / name).write_text("something\n")
    command = [MICROPHONE_SH, "localhost:1", tmp_path / "token", tmp_path / "cert.pem"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert f"{missing} " in done.stderr.splitlines()[-1]
