"""A real browser, headless, spoken to in the DevTools protocol over a pipe."""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.requirements import need

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--remote-debugging-pipe",
]
ANSWER_S = 120  # for one answer, on a machine that is busy with other tests


def find_browser() -> str | None:
    """The first browser on the PATH."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def browser_tab(folder: Path) -> Iterator["Tab"]:
    """A tab of a browser whose profile is in a folder; a skip where there is no browser."""
    program = find_browser()
    need(program is not None, "chromium or google-chrome")
    assert program
    with start_browser(program, folder / "profile") as opened:
        yield opened


class Tab:
    """One tab. Messages are JSON objects that end with a zero byte."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; wait for its answer. What happens meanwhile goes to events."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            got = self._receive()
            if got.get("id") == number:
                assert "error" not in got, got["error"]
                return got["result"]
            self.events.append(got)

    def open(self, page: Path | str, width: int, dark: bool = False) -> None:
        """Show a file, or an address, at a width in CSS pixels and wait until it is loaded."""
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900,
                  deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="", features=[scheme])
        address = page if isinstance(page, str) else page.resolve().as_uri()
        self.call("Page.navigate", url=address)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"]["value"]

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def complaints(self) -> list[str]:
        """Errors and warnings of the console since the page was opened."""
        entries = [event["params"] for event in self.events
                   if event["method"] in ("Log.entryAdded", "Runtime.consoleAPICalled",
                                          "Runtime.exceptionThrown")]
        return [json.dumps(entry) for entry in entries]

    def requests(self) -> list[str]:
        """Addresses that were loaded since the page was opened."""
        return [event["params"]["request"]["url"] for event in self.events
                if event["method"] == "Network.requestWillBeSent"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], ANSWER_S)
            assert ready, "the browser does not answer"
            part = os.read(self._from, 1 << 20)
            assert part, "the browser ended"
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)


@contextmanager
def start_browser(program: str, profile: Path) -> Iterator[Tab]:
    """A browser with an empty profile; it ends with the block."""
    theirs_in, to_browser = os.pipe()
    from_browser, theirs_out = os.pipe()
    # The protocol is spoken on descriptors 3 and 4; high ones cannot be in their way.
    high = [fcntl.fcntl(end, fcntl.F_DUPFD, 100) for end in (theirs_in, theirs_out)]
    line = [program, *QUIET, f"--user-data-dir={profile}"]
    if os.geteuid() == 0:
        line.append("--no-sandbox")
    shell = f'exec "$@" 3<&{high[0]} 4>&{high[1]}'
    with open(profile.with_suffix(".log"), "wb") as log:
        process = subprocess.Popen(["bash", "-c", shell, "browser", *line], pass_fds=high,
                                   stdout=log, stderr=log)
    for end in (theirs_in, theirs_out, *high):
        os.close(end)
    try:
        yield Tab(to_browser, from_browser)
    finally:
        # It ends when nobody speaks to it any more.
        os.close(to_browser)
        os.close(from_browser)
        process.terminate()
        process.wait(60)
