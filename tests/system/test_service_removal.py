"""Removed and installed anew; a file of its own: for any test behind it, it is installed again."""

from __future__ import annotations

from tests.sounds import SPEECH_FILE
from tests.system.box import CHECKOUT, SHARED, Box
from tests.system.interpreter import write_interpreter

SETTINGS = "/etc/edgeser/edgeser.toml"


def test_removal_leaves_nothing(box: Box) -> None:
    settings = f"[audio]\nsource = '/srv/checkout/{SPEECH_FILE.relative_to(CHECKOUT)}'\n"
    box.path(SETTINGS).write_text(settings)
    box.run("systemctl", "enable", "--now", "edgeser")
    box.run("systemctl", "start", "edgeser@kitchen", check=False)
    box.run("/srv/checkout/tools/service", "uninstall")
    found = box.run(
        "find", "/etc", "/opt", "/run", "/usr/local", "/var", "-name", "*edgeser*", check=False
    )
    assert found == ""
    assert "edgeser" not in box.path("/etc/passwd").read_text()
    assert "edgeser" not in box.path("/etc/group").read_text()
    assert "could not be found" in box.run("systemctl", "status", "edgeser", check=False)


def test_a_service_that_does_not_come_back_is_named_and_hinders_no_upgrade(
    installed_box: Box,
) -> None:
    """Without a lake, as its user does it: nothing is asked of a unit that is not there."""
    box, service = installed_box, "/srv/checkout/tools/service"
    if box.path("/opt/edgeser").exists():
        box.run(service, "uninstall")
    write_interpreter(box.shared / "python")
    (box.shared / "link").symlink_to("/opt")
    places = (f"SERVICE_PYTHON={SHARED / 'python'}", f"PREFIX={SHARED / 'link/edgeser'}")
    install = ("env", *places, service, "install")
    program = "[Service]\nWatchdogSec=0\nType={}\nExecStart=\nExecStart=/bin/{}\n"
    try:
        assert "does not run" not in box.run(*install)
        assert "=/opt/edgeser/bin/edgeser" in box.run("systemctl", "cat", "edgeser")
        for file in ("edgeser@.service", "edgeser-mqtt.service"):
            box.drop_in("program", program.format("exec", "sleep 1h"), file)
        box.run("systemctl", "start", "edgeser@kitchen", "edgeser-mqtt")
        before = box.state("edgeser@kitchen")["MainPID"]
        box.drop_in("program", program.format("notify", "false"), "edgeser-mqtt.service")
        printed = box.run(*install)
        assert "edgeser-mqtt.service was restarted and does not run" in printed
        assert printed.count("does not run") == 1
        assert box.state("edgeser@kitchen")["ActiveState"] == "active"
        assert box.state("edgeser@kitchen")["MainPID"] != before
    finally:
        box.run(service, "uninstall")  # that was no edgeser: the next test has it installed
