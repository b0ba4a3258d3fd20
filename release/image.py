"""Builds the image of a container: Debian's Python and the package, as a user without privileges.

python -m release.image dist/edgeser_0.1.0-1~deb12_amd64.deb [-o dist]

As root, for the machine's own architecture: Debian's scripts run while it is made. The base comes
from Debian's archive by mmdebstrap, not from a registry, so it is the same everywhere and can be
built where no registry is reached.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import IO

from release.command import run
from release.source import CHECKOUT, environment, epoch, version

ACCOUNT = 10001
"""User and group in the container: a number that no account of the host has."""

_PACKAGES = "python3,libportaudio2,libasound2-plugins,systemd-standalone-sysusers,ca-certificates"
_NEEDLESS = (
    *("usr/share/doc/*", "usr/share/man/*", "usr/share/info/*", "usr/share/locale/*"),
    *("var/cache/debconf/*", "var/cache/ldconfig/*", "var/lib/apt/*", "var/log/*"),
)


def build(package: Path, output: Path) -> Path:
    """The image as an archive for ``podman load`` and ``docker load``."""
    arch = package.stem.rsplit("_", 1)[1]
    name = f"localhost/edgeser:{version()}"
    with tempfile.TemporaryDirectory(prefix="edgeser-image-") as folder:
        base = Path(folder) / "root.tar"
        _make_root(package, base)
        storage = {**environment(), "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}
        places = ["--root", f"{folder}/storage", "--runroot", f"{folder}/run"]

        def buildah(*arguments: str) -> str:
            done = subprocess.run(
                ["buildah", *places, *arguments],
                check=True, env=storage, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            return done.stdout.strip()

        container = buildah("from", "--arch", arch, "scratch")
        buildah("add", container, str(base), "/")
        buildah("config", *_configuration(arch), container)
        # Docker's format: that of OCI has no health check.
        buildah("commit", "--format", "docker", "--timestamp", str(epoch()), container, name)
        output.mkdir(parents=True, exist_ok=True)
        archive = output / f"edgeser-{version()}-{arch}.tar"
        archive.unlink(missing_ok=True)
        buildah("push", name, f"docker-archive:{archive}:{name}")
        leave_chance_out(archive)
        _remove(Path(folder) / "storage")
    return archive


def leave_chance_out(archive: Path) -> None:
    """Rewrite the archive without the id of the container in which the image was made.

    The id differs each time, and with it the name of the image's configuration, which is its hash,
    and the folders that only Docker before 1.10 reads.
    """
    settled = archive.with_suffix(".settled")
    with tarfile.open(archive) as made, tarfile.open(settled, "w") as kept:
        (image,) = json.loads(_content(made, "manifest.json").read())
        described = json.loads(_content(made, image["Config"]).read())
        described.pop("container", None)
        text = json.dumps(described, sort_keys=True).encode()
        image["Config"] = f"{hashlib.sha256(text).hexdigest()}.json"
        for layer in image["Layers"]:
            kept.addfile(made.getmember(layer), _content(made, layer))
        written = {image["Config"]: text, "manifest.json": json.dumps([image]).encode()}
        for name, content in written.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            kept.addfile(entry, io.BytesIO(content))
    settled.replace(archive)


def _content(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    file = archive.extractfile(name)
    assert file is not None, name
    return file


def _make_root(package: Path, archive: Path) -> None:
    """Debian with the package installed, without the files that a container does not need."""
    shared = CHECKOUT / "release/image"
    account = f"-u {ACCOUNT} -U -G audio -d /var/lib/edgeser -s /usr/sbin/nologin"
    hooks = [
        f'useradd -R "$1" -r {account} edgeser',
        f'cp "{package.absolute()}" "$1/edgeser.deb"',
        'chroot "$1" dpkg -i /edgeser.deb',
        'rm "$1/edgeser.deb"',
        f'install -m 644 "{shared}/settings.toml" "$1/etc/edgeser/edgeser.toml"',
        f'install -m 755 "{shared}/healthcheck" "$1/opt/edgeser/bin/healthcheck"',
        'chroot "$1" install -d -o edgeser -g edgeser -m 750 /run/edgeser /var/lib/edgeser'
        " /var/lib/edgeser-mqtt /var/lib/edgeser-nats",
        *(f'rm -rf "$1"/{needless}' for needless in _NEEDLESS),
    ]
    command = [
        *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}"),
        "--aptopt=Apt::Install-Recommends false",
        *(f"--customize-hook={hook}" for hook in hooks),
        *("bookworm", str(archive)),
    ]
    subprocess.run(command, check=True, env=environment())


def _configuration(arch: str) -> list[str]:
    variables = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/var/lib/edgeser",
        "LANG": "C.UTF-8",
        "RUNTIME_DIRECTORY": "/run/edgeser",
        "STATE_DIRECTORY": "/var/lib/edgeser",
        "CONFIGURATION_DIRECTORY": "/etc/edgeser",
        "OPENBLAS_NUM_THREADS": "1",
    }
    labels = {"title": "edgeser", "version": version(), "licenses": "Apache-2.0"}
    return [
        *("--arch", arch, "--os", "linux", "--user", f"{ACCOUNT}:{ACCOUNT}"),
        *("--entrypoint", '["/usr/bin/edgeser"]'),
        *("--cmd", "run --settings /etc/edgeser/edgeser.toml --wait"),
        *("--volume", "/run/edgeser", "--volume", "/var/lib/edgeser"),
        *("--healthcheck", "CMD /opt/edgeser/bin/healthcheck"),
        *("--healthcheck-interval", "30s", "--healthcheck-start-period", "60s"),
        *("--stop-signal", "SIGTERM", "--workingdir", "/var/lib/edgeser"),
        *(word for name, value in variables.items() for word in ("--env", f"{name}={value}")),
        *(
            word
            for name, value in labels.items()
            for word in ("--label", f"org.opencontainers.image.{name}={value}")
        ),
    ]


def _remove(storage: Path) -> None:
    shutil.rmtree(storage, ignore_errors=True)  # folders that only their owner enters


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m release.image", description=__doc__)
    parser.add_argument("package", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=CHECKOUT / "dist")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        parser.exit(2, "edgeser: an image needs root: sudo make image\n")
    print(build(asked.package, asked.output))


if __name__ == "__main__":
    run(main)
