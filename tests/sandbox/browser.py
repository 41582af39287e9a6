"""A real browser: Chromium, driven by the DevTools protocol over a pipe."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import require

_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--window-size=1200,1000",
    "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """A browser with one page.

    Attributes:
        complaints: What its console and its security policies complained about.
    """

    def __init__(self, commands: int, events: int) -> None:
        self.complaints: list[str] = []
        self._commands, self._events = commands, events
        self._received = b""
        self._number = 0
        self._loaded = ""  # the document that was loaded last
        self._session = ""
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self._send(f"{domain}.enable")
        self._send("Page.setLifecycleEventsEnabled", enabled=True)

    def open(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        document = self._send("Page.navigate", url=url)["loaderId"]
        while self._loaded != document:
            self._receive()

    def drop(self, file: Path, selector: str) -> None:
        """Drop a file on an element, and wait for the page that follows."""
        x, y = self.evaluate(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + 12] })()"
        )
        loaded = self._loaded
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self._send("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)
        self._wait_for_load(loaded)

    def click(self, selector: str) -> None:
        """Click an element, and wait for the page that follows."""
        loaded = self._loaded
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        self._wait_for_load(loaded)

    def text(self, selector: str = "body") -> str:
        """The text of an element as displayed."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def evaluate(self, script: str) -> Any:
        """The value of a script."""
        result = self._send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        captured = self._send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(captured["data"])

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            message = self._receive()
            if message.get("id") == self._number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            chunk = os.read(self._events, 1 << 20)
            assert chunk, "the browser has ended"
            self._received += chunk
        first, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        method = message.get("method")
        if method == "Page.lifecycleEvent" and message["params"]["name"] == "load":
            self._loaded = message["params"]["loaderId"]
        elif method in ("Log.entryAdded", "Runtime.exceptionThrown"):
            self.complaints.append(json.dumps(message["params"]))
        return message

    def _wait_for_load(self, before: str) -> None:
        while self._loaded == before:
            self._receive()


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Run a browser.

    Args:
        profile: A new, empty folder for its data.
    """
    chromium = require("chromium")
    read_commands, write_commands = os.pipe()
    read_events, write_events = os.pipe()
    # Chromium reads commands from descriptor 3 and writes events to descriptor 4.
    script = f'exec "$0" "$@" 3<&{read_commands} 4>&{write_events}'
    process = subprocess.Popen(
        ["bash", "-c", script, chromium, *_OPTIONS, f"--user-data-dir={profile}"],
        pass_fds=(read_commands, write_events),
        stderr=subprocess.DEVNULL,
    )
    os.close(read_commands)
    os.close(write_events)
    try:
        yield Browser(write_commands, read_events)
    finally:
        os.close(write_commands)  # which ends it
        process.wait()
        os.close(read_events)
