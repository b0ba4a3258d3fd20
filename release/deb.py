"""Builds a Debian package: the program in /opt/edgeser, and the service around it.

python -m release.deb --arch arm64 --suite trixie [-o dist]

Everything is made of wheels, so that a package for arm64 is built on any machine. The packages of
``release/requirements.txt`` are fetched, each checked by its hash; nothing is compiled.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from email.utils import formatdate
from importlib.metadata import Distribution, distributions
from pathlib import Path

from release.command import run
from release.source import CHECKOUT, REQUIREMENTS, environment, epoch, version
from release.wheel import build_wheel, pinned

PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
"""The Python of each Debian release. Wheels of C code are for one Python."""

_REVISIONS = {"bookworm": "1~deb12", "trixie": "1~deb13"}

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_GLIBC = "manylinux_2_28"

_PURE = ("nkeys",)
"""Pure-Python packages that are published without a wheel: one is made here for all machines."""

_SCRIPT = """#!/opt/edgeser/bin/python
import sys

from edgeser.__main__ import run

sys.exit(run())
"""


def build(arch: str, suite: str, wheel: Path, output: Path, package_version: str = "") -> Path:
    """The package for one architecture and one Debian release. Raises ``CalledProcessError``.

    ``package_version`` replaces edgeser's own, to try upgrades.
    """
    python = PYTHONS[suite]
    package_version = f"{package_version or version()}-{_REVISIONS[suite]}"
    with tempfile.TemporaryDirectory(prefix="edgeser-deb-") as folder:
        tree = Path(folder) / f"edgeser-{version()}"
        site = tree / f"root/opt/edgeser/lib/python{python}/site-packages"
        site.mkdir(parents=True)
        _install_packages(site, wheel, arch, python)
        _write_program(tree / "root", python)
        _write_service(tree / "root")
        _write_control(tree / "debian", site, suite, package_version)
        shutil.copy(CHECKOUT / "CHANGELOG.md", tree)
        command = ["dpkg-buildpackage", f"--host-arch={arch}", "-b", "-d", "-us", "-uc"]
        with (Path(folder) / "log").open("w+") as log:
            done = subprocess.run(command, cwd=tree, env=environment(), stdout=log, stderr=log)
            if done.returncode:
                log.seek(0)
                sys.stderr.write(log.read())
                done.check_returncode()
        output.mkdir(parents=True, exist_ok=True)
        package = Path(folder) / f"edgeser_{package_version}_{arch}.deb"
        return Path(shutil.copy(package, output))


def _install_packages(site: Path, wheel: Path, arch: str, python: str) -> None:
    """The wheels' content, as it would be installed on such a machine."""
    requirements = site.parent / "requirements.txt"
    requirements.write_text(f"{REQUIREMENTS.read_text()}\n{pinned(wheel)}\n")
    command = [
        *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(site)),
        *("--python-version", python, "--python-platform", f"{_MACHINES[arch]}-{_GLIBC}"),
        *("--only-binary", ":all:", "--no-binary", ",".join(_PURE), "--link-mode", "copy"),
        *(
            "--find-links",
            str(wheel.parent),
            "--require-hashes",
            "--requirement",
            str(requirements),
        ),
    ]
    subprocess.run(command, check=True)
    requirements.unlink()
    (site / ".lock").unlink(missing_ok=True)
    for when in site.glob("*.dist-info/uv_cache.json"):  # says when the wheel was made
        when.unlink()
        record = when.with_name("RECORD")
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if f"/{when.name}," not in line))
    shutil.rmtree(site / "bin", ignore_errors=True)  # with the shebang of this machine's Python


def _write_program(root: Path, python: str) -> None:
    program = root / "opt/edgeser"
    programs = program / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(f"/usr/bin/python{python}")
    script = programs / "edgeser"
    script.write_text(_SCRIPT)
    script.chmod(0o755)
    (program / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {python}\n"
    )
    subprocess.run([CHECKOUT / "tools/program-share", program, sys.executable], check=True)
    share = root / "usr/share"
    share.mkdir(parents=True)
    for folder in ("bash-completion", "fish", "man"):
        (program / "share" / folder).rename(share / folder)
    (program / "share/zsh").rename(share / "zsh")
    (share / "zsh/site-functions").rename(share / "zsh/vendor-completions")
    commands = root / "usr/bin"
    commands.mkdir()
    (commands / "edgeser").symlink_to("/opt/edgeser/bin/edgeser")


def _write_service(root: Path) -> None:
    _copy(sorted((CHECKOUT / "systemd").glob("*.service")), root / "lib/systemd/system")
    settings = root / "etc/edgeser"
    _copy([CHECKOUT / "systemd/edgeser.toml"], settings)
    accounts = root / "usr/lib/sysusers.d"
    accounts.mkdir(parents=True)
    shutil.copyfile(CHECKOUT / "systemd/sysusers.conf", accounts / "edgeser.conf")


def _write_control(debian: Path, site: Path, suite: str, package_version: str) -> None:
    """Write the folder ``debian``, filling in what differs between packages."""
    python = PYTHONS[suite]
    major, minor = python.split(".")
    units = [file.name.replace("@.", "@*.") for file in (CHECKOUT / "systemd").glob("*.service")]
    filled = {
        "@PYTHON@": python,
        "@NEXT_PYTHON@": f"{major}.{int(minor) + 1}",
        "@VERSION@": version(),
        "@UNITS@": " ".join(f"'{unit}'" for unit in sorted(units)),
        "@MODELS@": "".join(f" * {line}\n" for line in _models()),
        "@PACKAGES@": "".join(f" * {line}\n" for line in _licences(site)),
    }
    for source in sorted((CHECKOUT / "release/debian").iterdir()):
        text = source.read_text()
        for name, value in filled.items():
            text = text.replace(name, value)
        debian.mkdir(exist_ok=True)
        file = debian / source.name.removesuffix(".in")
        file.write_text(text)
        file.chmod(source.stat().st_mode & 0o777)
    (debian / "changelog").write_text(
        f"edgeser ({package_version}) {suite}; urgency=medium\n\n"
        f"  * edgeser {version()}; changelog.gz says what changed.\n\n"
        f" -- edgeser developers <packages@edgeser.invalid>  {formatdate(epoch())}\n"
    )


def _models() -> list[str]:
    from edgeser.model.artefact import shipped_models
    from edgeser.model.model import load_model

    lines = []
    for name in shipped_models():
        training = load_model(name).info.training
        lines.append(f"{name}: {training.licence} ({', '.join(training.corpora)})")
    return lines


def _licences(site: Path) -> list[str]:
    """A line for each package: its name, version, and the licence that its authors state."""
    found = [one for one in distributions(path=[str(site)]) if one.name != "edgeser"]
    return sorted(f"{one.name} {one.version}: {_licence(one)}" for one in found)


def _licence(package: Distribution) -> str:
    stated: dict[str, str | list[str]] = package.metadata.json
    if expression := stated.get("license_expression"):
        return str(expression)
    prefix = "License :: OSI Approved :: "
    classifiers = stated.get("classifier", [])
    named = [line.removeprefix(prefix) for line in classifiers if line.startswith(prefix)]
    return ", ".join(named) or str(stated.get("license", "see its files")).splitlines()[0]


def _copy(files: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m release.deb", description=__doc__)
    parser.add_argument("--arch", action="append", choices=list(_MACHINES), help="both, if none")
    parser.add_argument("--suite", choices=list(PYTHONS), default="bookworm")
    parser.add_argument("--wheel", type=Path, help="built, if none is given")
    parser.add_argument("--package-version", default="", help="another, to try upgrades")
    parser.add_argument("-o", "--output", type=Path, default=CHECKOUT / "dist")
    asked = parser.parse_args()
    wheel = asked.wheel or build_wheel(asked.output)
    for arch in asked.arch or list(_MACHINES):
        print(build(arch, asked.suite, wheel, asked.output, asked.package_version))


if __name__ == "__main__":
    run(main)
