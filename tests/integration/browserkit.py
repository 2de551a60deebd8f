"""A headless Chromium for tests, driven by the WebDriver protocol; it reaches nothing but this machine."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

_SECONDS_TO_START = 60.0
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever else it would ask: there is no such host.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--window-size=1280,1000",
)


def needed(name: str) -> str:
    """The path of a program that a test needs; without it the test is skipped."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"there is no {name} on this machine")
    return path


class Browser:
    """A browser with one window.

    Args:
        folder: An empty folder for what it keeps.
        preferences: Further flags.
    """

    def __init__(self, folder: Path, *preferences: str) -> None:
        driver, chromium = needed("chromedriver"), needed("chromium")
        self._log = folder / "driver.log"
        with self._log.open("w") as log:
            self._driver = subprocess.Popen([driver, "--port=0"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._session = ""
        try:
            self._base = f"http://127.0.0.1:{self._port()}"
            flags = [*_FLAGS, *preferences, f"--user-data-dir={folder / 'profile'}"]
            options = {"binary": chromium, "args": flags}
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
            session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            self._session = f"/session/{session['sessionId']}"
        except BaseException:
            self.close()
            raise

    def open(self, url: str) -> None:
        """Go to an address."""
        self._ask("POST", f"{self._session}/url", {"url": url})

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self._ask("GET", f"{self._session}/url"))

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script of the page returns."""
        return self._ask("POST", f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector: str) -> str:
        """The text of the first element that a selector finds; empty without one."""
        return str(
            self.run("const e = document.querySelector(arguments[0]); return e ? e.innerText : ''", selector)
        )

    def cookies(self) -> list[dict[str, Any]]:
        """The cookies, also those that no script may see."""
        return list(self._ask("GET", f"{self._session}/cookie"))

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What the browser noted since the last time: ``browser`` or ``performance``."""
        return list(self._ask("POST", f"{self._session}/se/log", {"type": kind}))

    def requests(self) -> list[str]:
        """The addresses that it asked for since the last time."""
        found: list[str] = []
        for entry in self.log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                found.append(event["params"]["request"]["url"])
        return found

    def screenshot(self, path: Path) -> None:
        """Write a picture of the window."""
        path.write_bytes(base64.b64decode(self._ask("GET", f"{self._session}/screenshot")))

    def close(self) -> None:
        """End browser and driver."""
        if self._session:
            with suppress(OSError, urllib.error.URLError):
                self._ask("DELETE", self._session)
        self._driver.terminate()
        try:
            self._driver.wait(20.0)
        except subprocess.TimeoutExpired:
            self._driver.kill()
            self._driver.wait()

    def _port(self) -> int:
        deadline = time.monotonic() + _SECONDS_TO_START
        while time.monotonic() < deadline:
            _, _, rest = self._log.read_text().partition("started successfully on port ")
            if rest.strip():
                return int(rest.split()[0].rstrip("."))
            time.sleep(0.02)
        pytest.fail(f"the driver does not start:\n{self._log.read_text()}")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            self._base + path, data, {"content-type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS_TO_START) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{path}: {error.read().decode()[:2000]}")
