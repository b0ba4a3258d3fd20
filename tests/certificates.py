"""Certificates for tests, by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path


def certificates(folder: Path, host: str = "localhost") -> tuple[Path, Path]:
    """A self-signed certificate and its key; makes the folder."""
    folder.mkdir(exist_ok=True)
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x "
        f"-addext subjectAltName=DNS:{host} -keyout {key} -out {cert}".split(),
        check=True,
        capture_output=True,
    )
    return cert, key
