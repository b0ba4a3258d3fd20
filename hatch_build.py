"""What a wheel needs besides the code: the front end of the page, which npm brings.

Without npm the wheel is built without it, and ``edgeser page`` says so: the daemon needs none of
it, and a device that only runs the daemon need not have npm. A release is built with
EDGESER_REQUIRE_PAGE=1, which fails instead.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs when a wheel is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Bring the files; git does not know them, so name them."""
        if version == "editable":
            return
        sys.path.insert(0, str(Path(self.root) / "tools"))
        import page_assets

        try:
            if not page_assets.is_complete():
                page_assets.bring()
        except page_assets.AssetError as error:
            if os.environ.get("EDGESER_REQUIRE_PAGE"):
                sys.exit(f"edgeser: the page's front end: {error}")
            self.app.display_warning(f"this wheel is without the page's front end: {error}")
            return
        build_data["artifacts"].append("/edge/edgeser/page/static/vendor")
