"""The service is removed; a file of its own, since it is installed again for any test behind it."""

from __future__ import annotations

from tests.sounds import SPEECH_FILE
from tests.system.box import CHECKOUT, Box

SETTINGS = "/etc/edgeser/edgeser.toml"


def test_removal_leaves_nothing(box: Box) -> None:
    settings = f"[audio]\nsource = '/srv/checkout/{SPEECH_FILE.relative_to(CHECKOUT)}'\n"
    box.path(SETTINGS).write_text(settings)
    box.run("systemctl", "enable", "--now", "edgeser")
    box.run("systemctl", "start", "edgeser@kitchen", check=False)
    box.run("env", "KEEP_SETTINGS=1", "/srv/checkout/tools/service", "uninstall")
    assert not box.path("/opt/edgeser").exists()
    assert box.path(SETTINGS).read_text() == settings
    box.run("/srv/checkout/tools/service", "uninstall")
    found = box.run(
        "find", "/etc", "/opt", "/run", "/usr/local", "/var", "-name", "*edgeser*", check=False
    )
    assert found == ""
    assert "edgeser" not in box.path("/etc/passwd").read_text()
    assert "edgeser" not in box.path("/etc/group").read_text()
    assert "could not be found" in box.run("systemctl", "status", "edgeser", check=False)
