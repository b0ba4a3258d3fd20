"""Debian's Firefox and WebKitGTK, each with a tab, driven by WebDriver's commands and actions.

Playwright's Firefox and WebKit are builds of its own. Firefox is driven by Marionette, the protocol
beneath its WebDriver, for which Debian has no program; WebKitGTK through its ``WebKitWebDriver``,
on a screen of Xvfb. Both keep their profile and downloads in a given folder.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from edgeser.errors import UserError
from tests.ports import free_port

from .world import PATIENCE_S, until

TAB, UP = "\ue004", "\ue013"
"""Keys without a character, as WebDriver numbers them."""

Ask = Callable[[str, dict[str, Any]], Any]
"""Sends a command of WebDriver: its name in Marionette and its fields, to its answer."""

MIDDLE = """const part = document.querySelector(arguments[0]);
part.scrollIntoView({ block: 'center' });
const { x, y, width, height } = part.getBoundingClientRect();
return [Math.round(x + width / 2), Math.round(y + height / 2)];"""

PREFERENCES = {
    "marionette.port": 0,
    "browser.download.folderList": 2,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
}
LISTEN = """window.wrong = []; const note = (what) => window.wrong.push(String(what));
addEventListener('error', (e) => note(e.message));
addEventListener('unhandledrejection', (e) => note(e.reason));
addEventListener('securitypolicyviolation', (e) => note(e.effectiveDirective + e.sample));"""

COMMANDS_OF_WEBKIT = {
    "NewSession": ("POST", ""),
    "Navigate": ("POST", "/url"),
    "Refresh": ("POST", "/refresh"),
    "ExecuteScript": ("POST", "/execute/sync"),
    "SetWindowRect": ("POST", "/window/rect"),
    "PerformActions": ("POST", "/actions"),
    "TakeScreenshot": ("GET", "/screenshot"),
    "DeleteSession": ("DELETE", ""),
}


class Tab:
    """The one tab of a browser."""

    def __init__(self, ask: Ask, downloads: Path) -> None:
        """``downloads``: where they are saved."""
        self._ask = ask
        self.downloads = downloads

    def open(self, url: str) -> None:
        self._ask("Navigate", {"url": url})
        self._script(LISTEN)

    def reload(self) -> None:
        self._ask("Refresh", {})
        self._script(LISTEN)

    def wrong(self) -> list[str]:
        """Errors of the page's scripts and violations of its policy since it was loaded."""
        found: list[str] = self.get("window.wrong")
        return found

    def get(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        return self._script(f"return {expression}")

    def text(self, selector: str = "body") -> str:
        return str(self.get(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def size(self, width: int, height: int) -> None:
        """Set the page's size, as far as the browser's smallest window allows."""
        outer = (width, height)
        for _ in range(2):  # the second time without the frame and bars
            self._ask("SetWindowRect", {"width": outer[0], "height": outer[1]})
            time.sleep(0.5)  # a window has its size when it says so, the page a little later
            inner = self.get("[innerWidth, innerHeight]")
            outer = (outer[0] + width - inner[0], outer[1] + height - inner[1])

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._ask("TakeScreenshot", {"full": False})))

    def middle(self, selector: str) -> tuple[int, int]:
        """The middle of an element, which is scrolled into view for it."""
        x, y = self._script(MIDDLE, selector)
        return x, y

    def click(self, selector: str) -> None:
        self.drag(self.middle(selector))

    def drag(self, *points: tuple[int, int]) -> None:
        first, *others = [
            {"type": "pointerMove", "x": x, "y": y, "duration": 40} for x, y in points
        ]
        down, up = ({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up"))
        self._act("pointer", [first, down, *others, up])

    def wheel(self, point: tuple[int, int], by: int) -> None:
        x, y = point
        turn = {"type": "scroll", "x": x, "y": y, "deltaX": 0, "deltaY": by, "duration": 0}
        self._act("wheel", [turn])

    def press(self, keys: str) -> None:
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._act("key", strokes)

    def _act(self, kind: str, actions: Sequence[dict[str, Any]]) -> None:
        self._ask("PerformActions", {"actions": [{"type": kind, "id": kind, "actions": actions}]})

    def _script(self, script: str, *arguments: Any) -> Any:
        return self._ask("ExecuteScript", {"script": script, "args": arguments})


@contextmanager
def _running(command: Sequence[str], log: Path, **more: Any) -> Iterator[None]:
    if not shutil.which(command[0]):
        raise UserError(f"{command[0]} is not installed", "'make browsers-check' installs it")
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **more)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()


@contextmanager
def firefox(folder: Path) -> Iterator[Tab]:
    """Debian's Firefox without a window. ``folder``: empty, for its profile and downloads."""
    profile, downloads = folder / "profile", folder / "downloads"
    profile.mkdir()
    preferences = {**PREFERENCES, "browser.download.dir": str(downloads)}
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in preferences.items()]
    (profile / "user.js").write_text("\n".join(lines))
    port = profile / "MarionetteActivePort"
    command = ["firefox-esr", "--headless", "--no-remote", "--profile", str(profile)]
    more = ["--marionette", "about:blank"]
    with ExitStack() as stack:
        stack.enter_context(_running([*command, *more], folder / "firefox.log"))
        until(lambda: port.exists() and port.read_text(), "Marionette's port")
        line = stack.enter_context(socket.create_connection(("127.0.0.1", int(port.read_text()))))
        answers = stack.enter_context(line.makefile("rb"))
        number = 0

        def read() -> Any:
            length = b""
            while (digit := answers.read(1)) not in (b":", b""):
                length += digit
            assert length, "Firefox has gone"
            return json.loads(answers.read(int(length)))

        def ask(command: str, fields: dict[str, Any]) -> Any:
            nonlocal number
            number += 1
            told = json.dumps([0, number, f"WebDriver:{command}", fields]).encode()
            line.sendall(b"%d:%b" % (len(told), told))
            _, _, error, answer = read()
            assert error is None, error
            return answer.get("value", answer)

        read()  # who it is
        ask("NewSession", {})
        yield Tab(ask, downloads)


@contextmanager
def webkit(folder: Path) -> Iterator[Tab]:
    """WebKitGTK in its MiniBrowser. ``folder``: empty, its home."""
    ours, theirs = os.pipe()
    with ExitStack() as stack:
        screen = ["Xvfb", "-displayfd", str(theirs), "-screen", "0", "1600x1200x24"]
        log = folder / "xvfb.log"
        stack.enter_context(_running([*screen, "-nolisten", "tcp"], log, pass_fds=[theirs]))
        os.close(theirs)
        with os.fdopen(ours) as told:
            display = f":{told.readline().strip()}"
        port = free_port()
        # Without a locale, as small devices have none.
        around = {"HOME": str(folder), "LC_ALL": "C.UTF-8"}
        around |= {"DISPLAY": display, "GDK_BACKEND": "x11"}
        command = ["WebKitWebDriver", f"--port={port}"]
        log = folder / "webkit.log"
        stack.enter_context(_running(command, log, env={**os.environ, **around}))
        session = f"http://127.0.0.1:{port}/session"

        def ask(command: str, fields: dict[str, Any]) -> Any:
            method, path = COMMANDS_OF_WEBKIT[command]
            body = json.dumps(fields).encode() if method == "POST" else None
            request = urllib.request.Request(session + path, body, method=method)
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                    return json.load(answer)["value"]
            except urllib.error.HTTPError as error:
                raise AssertionError(error.read().decode()) from None

        def listens() -> bool:
            with socket.socket() as line:
                return line.connect_ex(("127.0.0.1", port)) == 0

        until(listens, "WebKitWebDriver's port")
        browser = next(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"))
        started = {"binary": str(browser), "args": ["--automation"]}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": started}}
        begun = ask("NewSession", {"capabilities": wanted})
        session += "/" + begun["sessionId"]
        try:
            yield Tab(ask, folder)
        finally:
            ask("DeleteSession", {})
