"""What tools/service makes of files: another root, and an interpreter that does nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from release.source import EXTRAS
from tests.disks import filled
from tests.patience import until
from tests.system.interpreter import write_interpreter

SERVICE = Path(__file__).parents[2] / "tools/service"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to an account, which needs root"),
    pytest.mark.skipif(
        shutil.which("systemd-sysusers") is None,
        reason="no systemd-sysusers: apt-get install systemd",
    ),
]


class Image:
    """The files of another system, in ``root``."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        (self.root / "etc").mkdir(parents=True)
        self.python = folder / "python"
        write_interpreter(self.python)

    @property
    def environment(self) -> dict[str, str]:
        """What makes ``tools/service`` install there."""
        return {**os.environ, "DESTDIR": str(self.root), "SERVICE_PYTHON": str(self.python)}

    def service(self, action: str, refused: str = "", **variables: str) -> str:
        """Install or uninstall there; what it complains of.

        ``refused``: words of the one line that says why not.
        """
        done = subprocess.run(
            [str(SERVICE), action],
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            umask=0o077,
        )
        assert done.returncode == (2 if refused else 0), done.stderr
        assert refused in done.stderr
        assert not refused or done.stderr.count("\n") == 1
        return done.stderr

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.root / "etc/edgeser/edgeser.toml"


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """One in which nothing was installed."""
    return Image(tmp_path)


@pytest.mark.parametrize("prefix", ["/opt/edgeser", "/opt/edgeser/", "/opt/edgeser//"])
def test_a_slash_behind_the_prefix_changes_nothing(prefix: str, image: Image) -> None:
    root = image.root
    command = root / "usr/local/bin/edgeser"
    for _ in range(2):  # the second replaces the first
        image.service("install", PREFIX=prefix)
        assert os.listdir(root / "opt") == ["edgeser"]
        assert "bin" in os.listdir(root / "opt/edgeser")
        assert (root / "opt/edgeser/pyvenv.cfg").read_text() == "command = /opt/edgeser\n"
        assert os.readlink(command) == "/opt/edgeser/bin/edgeser"
        unit = (root / "etc/systemd/system/edgeser.service").read_text()
        assert "ExecStart=/opt/edgeser/bin/edgeser " in unit
    image.service("uninstall", PREFIX=prefix)
    assert os.listdir(root / "opt") == []
    assert not command.is_symlink()


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("opt/edgeser", "expected an absolute path"),
        ("/srv/a&b", "expected letters"),
        ("/srv/my prog", "expected letters"),
        ("/srv/it's", "expected letters"),
        ("/tmp/edgeser", "no temporary folders"),
        ("/opt/../var/tmp/edgeser", "no temporary folders"),
        ("/run/user/0/edgeser", "sees no home"),
        ("/home/edgeser", "sees no home"),
    ],
)
def test_a_prefix_that_the_service_cannot_use_is_refused(
    prefix: str, words: str, image: Image
) -> None:
    image.service("install", words, PREFIX=prefix)
    assert not image.settings.exists()


@pytest.mark.parametrize("root", ["image", "/srv/my root", "/srv/image[1]"])
def test_a_root_whose_name_would_end_up_in_the_program_is_refused(root: str, image: Image) -> None:
    image.service("install", f"DESTDIR={root}: expected an absolute path", DESTDIR=root)


def test_make_hands_a_prefix_on_as_it_is(image: Image) -> None:
    command = ["make", "install-service", "PREFIX=/srv/it's", f"DESTDIR={image.root}"]
    done = subprocess.run(command, cwd=SERVICE.parents[1], capture_output=True, text=True)
    assert "PREFIX=/srv/it's: expected letters" in done.stderr


def test_the_account_may_run_what_somebody_with_a_strict_umask_installs(image: Image) -> None:
    image.service("install")
    for path in ("opt", "opt/edgeser", "opt/edgeser/bin", "opt/edgeser/bin/python"):
        assert (image.root / path).stat().st_mode & 0o005 == 0o005, path
    assert (image.settings.stat().st_mode & 0o777) == 0o644


def test_it_has_what_the_packages_have(image: Image) -> None:
    image.service("install")
    assert f"[{','.join(EXTRAS)}]" in (image.root / "opt/edgeser/pip").read_text()


def test_the_program_knows_the_commit_of_its_checkout(image: Image) -> None:
    image.service("install")
    assert (image.root / "opt/edgeser/share/edgeser/commit").read_text() == "cafe\n"


def test_shells_and_man_find_its_files_and_none_that_other_packages_bring(image: Image) -> None:
    shown = image.root / "usr/local"
    other = 'install -D /dev/null "$(dirname "$0")/../share/man/man1/other.1"'
    image.python.write_text(image.python.read_text().replace("touch", f"{other}; touch"))
    image.service("install")
    links = [file for file in shown.rglob("*") if file.is_symlink()]
    assert sorted(str(file.relative_to(shown)) for file in links) == [
        "bin/edgeser",
        "share/bash-completion/completions/edgeser",
        "share/fish/vendor_completions.d/edgeser.fish",
        "share/man/man1/edgeser.1",
        "share/zsh/site-functions/_edgeser",
    ]
    assert all(os.readlink(file).startswith("/opt/edgeser/") for file in links)
    own = shown / "bin/edgeser-of-mine"
    own.symlink_to("/srv/edgeser-of-mine")
    image.service("uninstall")
    assert [file for file in shown.rglob("*") if file.is_symlink()] == [own]


def test_an_installation_that_is_stopped_leaves_nothing_of_the_new_program(image: Image) -> None:
    begun = image.root.parent / "begun"
    slow = image.python.read_text().replace('"-m pip")', f'"-m pip") touch {begun}; sleep 100')
    image.python.write_text(slow)
    stopped = subprocess.Popen(
        [str(SERVICE), "install"], env=image.environment, start_new_session=True
    )
    until(begun.exists)
    os.killpg(stopped.pid, signal.SIGTERM)
    assert stopped.wait() == 130
    assert os.listdir(image.root / "opt") == []


def test_what_was_killed_while_it_exchanged_the_programs_is_removed(image: Image) -> None:
    image.service("install")
    programs = image.root / "opt"
    (programs / "edgeser").rename(programs / "edgeser.old")
    image.service("uninstall")
    assert os.listdir(programs) == []


def test_a_full_disk_leaves_the_units_as_they_were(image: Image, small_disk: Path) -> None:
    place = image.root / "etc/systemd"
    place.symlink_to(small_disk)
    image.service("install")
    units = {file: file.read_text() for file in place.glob("system/*")}
    assert len(units) > 3
    filled(small_disk)
    image.service("install", "etc/systemd/system/edgeser-mqtt.service: No space left on device")
    assert {file: file.read_text() for file in place.glob("system/*")} == units


def test_an_upgrade_keeps_the_lake_and_brings_it_to_nobody_else(image: Image) -> None:
    asked, unit = image.root / "opt/edgeser/pip", "etc/systemd/system/edgeser-lake.service"
    image.service("install", LAKE="0")
    assert "lake" not in asked.read_text()
    assert not (image.root / unit).exists()
    image.service("install", LAKE="1")
    image.service("install")
    assert "lake]" in asked.read_text()
    assert (image.root / unit).exists()


def test_another_installation_is_not_removed(image: Image) -> None:
    image.service("install", PREFIX="/srv/prog")
    words = "PREFIX=/opt/edgeser: the service is not there; edgeser is in PREFIX=/srv/prog"
    image.service("uninstall", words)
    assert image.settings.exists()
    image.service("uninstall", PREFIX="/srv/prog")
    assert not image.settings.exists()
    assert not (image.root / "srv/prog").exists()
    image.service("uninstall", "PREFIX=/srv/prog: nothing is installed there", PREFIX="/srv/prog")


def test_there_is_one_installation(image: Image) -> None:
    image.service("install", PREFIX="/srv/prog")
    old = image.root / "opt/edgeser"
    shutil.copytree(image.root / "srv/prog", old)
    image.service("uninstall", "edgeser is in PREFIX=/srv/prog")
    assert image.settings.exists()
    shutil.rmtree(old)
    image.service("install", "uninstall-service KEEP_STATE=1 PREFIX=/srv/prog")
    assert not old.exists()


def test_a_package_is_neither_covered_nor_removed(image: Image) -> None:
    unit = image.root / "lib/systemd/system/edgeser.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("")
    for action in ("install", "uninstall"):
        image.service(action, "apt-get remove edgeser", PREFIX="/srv/prog")
    assert not image.settings.exists()


def test_kept_keys_stay_the_accounts(image: Image) -> None:
    image.service("install")
    keys = image.settings.parent / "keys"
    owner = keys.stat().st_uid
    (keys / "server.key").write_text("")
    image.settings.write_text("[audio]\n")
    image.service("uninstall", KEEP_SETTINGS="1")
    assert "edgeser:" in (image.root / "etc/passwd").read_text()
    image.service("install")
    assert image.settings.read_text() == "[audio]\n"
    assert (keys / "server.key").stat().st_uid == keys.stat().st_uid == owner
    image.service("uninstall")
    assert not keys.exists()
    for file in ("passwd", "group"):
        assert "edgeser:" not in (image.root / "etc" / file).read_text()


def test_the_group_goes_with_its_members_and_nothing_says_that_it_stays(image: Image) -> None:
    (image.root / "etc/login.defs").write_text("USERGROUPS_ENAB yes\n")  # as Debian has it
    image.service("install")
    groups = image.root / "etc/group"
    (line,) = (line for line in groups.read_text().splitlines() if line.startswith("edgeser:"))
    groups.write_text(groups.read_text().replace(line, f"{line}root"))
    assert image.service("uninstall") == ""
    for file in ("passwd", "group"):
        assert "edgeser" not in (image.root / "etc" / file).read_text()
