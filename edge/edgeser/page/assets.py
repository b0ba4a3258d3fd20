"""The page's files: our own, and those that npm brought (``tools/page_assets.py``)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgeser.errors import UserError

STATIC = Path(__file__).parent / "static"
VENDOR = STATIC / "vendor"
CHECKOUT = Path(__file__).parents[3]
"""The root of the checkout, if this is one and not an installed copy."""

NEEDED = ("uPlot.iife.min.js", "uPlot.min.css", "preact.js", "inter.woff2")


def check_assets() -> None:
    """Raises ``UserError`` where npm's files are missing."""
    missing = [name for name in NEEDED if not (VENDOR / name).exists()]
    if missing:
        in_checkout = (CHECKOUT / "tools/page_assets.py").exists()
        raise UserError(
            f"the page's front end is not complete: {', '.join(missing)} missing in {VENDOR}",
            "run 'make page-assets', which takes npm"
            if in_checkout
            else "this is a copy that was made without npm: install npm, then edgeser again",
        )


def front_page() -> bytes:
    """The page, with URLs that change with the content of any of its files: a browser may keep
    these for good. The modules' own imports are relative, and so have them too."""
    content = hashlib.sha256()
    for file in sorted(path for path in STATIC.rglob("*") if path.is_file()):
        content.update(file.read_bytes())
    at = f"/static/of-{content.hexdigest()[:16]}/"
    return (STATIC / "index.html").read_bytes().replace(b"/static/", at.encode())
