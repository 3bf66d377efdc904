"""A headless Chromium, driven over its DevTools protocol with the package `websockets`."""

import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--remote-debugging-port=0",
]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
START_SECONDS = 60


def executable() -> str | None:
    """Return the path of an installed Chromium or Chrome, None without one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def browser(address: str, width: int = 1280, height: int = 800) -> Iterator["Page"]:
    """Open a page in a new browser with an empty profile; end the browser afterwards."""
    from websockets.sync.client import connect

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [executable(), *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # type: ignore[arg-type]
        try:
            port = debugging_port(process)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=START_SECONDS) as answer:
                target = next(one for one in json.load(answer) if one["type"] == "page")
            with connect(target["webSocketDebuggerUrl"], max_size=None) as socket:
                page = Page(socket)
                page.resize(width, height)
                page.call("Page.enable")
                page.call("Runtime.enable")
                page.call("Page.navigate", url=address)
                yield page
        finally:
            process.kill()
            process.wait()
            if process.stderr:
                process.stderr.close()


def debugging_port(process: subprocess.Popen) -> int:
    """Return the port that a browser prints when it has started."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"DevTools listening on ws://127\.0\.0\.1:(\d+)/", line):
            return int(found[1])
    raise RuntimeError("The browser ended before it printed its port.")


class Page:
    """A page of a browser. `errors` are uncaught exceptions and failed assertions of its scripts."""

    def __init__(self, socket: Any):
        self.socket, self.numbers, self.errors = socket, itertools.count(1), list[str]()

    def call(self, method: str, **arguments: Any) -> dict:
        """Call a method of the protocol and return its result."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": arguments}))
        while True:
            message = json.loads(self.socket.recv(timeout=START_SECONDS))
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(message["params"]["exceptionDetails"])[:500])
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def run(self, code: str) -> Any:
        """Return the value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, code: str, seconds: float = 120) -> Any:
        """Wait until a JavaScript expression is true, and return its value; an error in it counts as false."""
        end, attempt = time.monotonic() + seconds, f"(() => {{ try {{ return {code} }} catch {{ return null }} }})()"
        while not (value := self.run(attempt)):
            assert time.monotonic() < end, f"never true: {code}"
            time.sleep(0.05)
        return value

    def key(self, kind: str, code: str, key: str, modifiers: int = 0) -> None:
        """Send `keyDown` or `keyUp` of a key. code: its place on the keyboard. key: what it types."""
        text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type=kind, code=code, key=key, modifiers=modifiers, **text)

    def press(self, key: str) -> None:
        """Press and release a letter or a full stop."""
        code = "Period" if key == "." else f"Key{key.upper()}"
        self.key("keyDown", code, key)
        self.key("keyUp", code, key)

    def resize(self, width: int, height: int, scheme: str = "light", mobile: bool = False) -> None:
        """Set the size of the window, and the preferred color scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: str | os.PathLike, whole: bool = False) -> None:
        """Write a PNG file of the window, or of the whole page."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
