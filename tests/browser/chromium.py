"""A real browser for tests: Chromium without a window, driven through a pipe; nothing is installed for it.

Commands and events are those of the Chrome DevTools Protocol: JSON messages that end with a zero byte, which Chromium reads
from file descriptor 3 and writes to file descriptor 4.
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"),
    "--remote-debugging-pipe",
)
PATIENCE = 60  # seconds until an answer or an event must have come: a loaded machine is slow
# The pipes take the places 3 and 4 in the child, whatever their numbers are here.
_START = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
# Keys that are no letters: name -> (code, number of the key).
_KEYS = {
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Home": 36,
    "End": 35,
    "Delete": 46,
    "Escape": 27,
}
_KEYS |= {" ": 32, "Enter": 13, "Tab": 9}
SHIFT, CONTROL = 8, 2


def found() -> str | None:
    """The program, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """A running browser; use it as a context manager."""

    def __init__(self, folder: Path):
        """Start it with its profile in `folder`."""
        (read, self._write), (self._read, write) = os.pipe(), os.pipe()
        theirs = [fcntl.fcntl(number, fcntl.F_DUPFD, 10) for number in (read, write)]
        command = [sys.executable, "-c", _START, *map(str, theirs), found(), *FLAGS, f"--user-data-dir={folder}"]
        with open(folder / "chromium.log", "w") as log:
            self._process = subprocess.Popen(
                command, pass_fds=theirs, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        for number in (read, write, *theirs):
            os.close(number)
        self._unread, self._number, self.events = b"", 0, []

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(self, *_) -> None:
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (OSError, TimeoutError, RuntimeError, subprocess.TimeoutExpired):
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads a group of its own
        self._process.wait()
        for number in (self._read, self._write):
            os.close(number)

    def call(self, method: str, session: str | None = None, **parameters) -> dict:
        """Result of a command; events that come meanwhile are kept in `events`.

        Raises
        ------
        RuntimeError
            If the browser refuses the command.
        """
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while True:
            answer = self._receive(end)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def wait(self, session: str, method: str, since: int) -> dict:
        """Parameters of the first event of a kind that is not among the first `since` ones."""
        end = time.monotonic() + PATIENCE
        while True:
            for event in self.events[since:]:
                if event["method"] == method and event.get("sessionId", session) == session:
                    return event["params"]
            since = len(self.events)
            self._receive(end)

    def _receive(self, end: float) -> dict:
        """The next message; events are kept."""
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise TimeoutError("Chromium does not answer")
            part = os.read(self._read, 1 << 20)
            if not part:
                raise RuntimeError("Chromium has ended")
            self._unread += part
        message, self._unread = self._unread.split(b"\0", 1)
        message = json.loads(message)
        if "method" in message:
            self.events.append(message)
        return message

    def page(self, width: int = 1280, height: int = 900) -> "Page":
        """An empty page that shares nothing with others: neither storage nor settings."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        return Page(self, context, width, height)


class Page:
    """A page of the browser; what it asks for and what goes wrong in it is written down."""

    def __init__(self, browser: Chromium, context: str, width: int, height: int):
        self.browser, self.context = browser, context
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def call(self, method: str, **parameters) -> dict:
        """Result of a command to this page."""
        return self.browser.call(method, self.session, **parameters)

    def again(self) -> "Page":
        """Another page with the same storage, as another tab."""
        return Page(self.browser, self.context, 1280, 900)

    def open(self, path: Path) -> None:
        """Open a file and wait until it is loaded, and nothing in it is busy."""
        self._loaded("Page.navigate", url=path.resolve().as_uri())

    def reload(self) -> None:
        """Load the page anew."""
        self._loaded("Page.reload")

    def _loaded(self, method: str, **parameters) -> None:
        since = len(self.browser.events)
        self.call(method, **parameters)
        self.browser.wait(self.session, "Page.loadEventFired", since)
        self.until("!document.querySelector('[aria-busy=true]')")

    def value(self, expression: str):
        """Value of an expression of JavaScript in the page.

        Raises
        ------
        RuntimeError
            If it throws.
        """
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']['exception'].get('description')}")
        return result["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.value(f"Boolean({expression})"):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {expression}")
            time.sleep(0.02)

    def press(self, *keys: str, modifiers: int = 0) -> None:
        """Press and release keys, one after another: letters and signs, or names like ArrowLeft."""
        for key in keys:
            number = _KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
            event = {"key": key, "windowsVirtualKeyCode": number, "modifiers": modifiers}
            text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
            if modifiers & CONTROL:
                text = {}
            self.call("Input.dispatchKeyEvent", type="keyDown", **event, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def click(self, selector: str, modifiers: int = 0) -> None:
        """Click with the left button on the middle of an element, which must be what lies on top there."""
        place = self.value(
            f"""(() => {{
                const element = document.querySelector({json.dumps(selector)});
                element.scrollIntoView({{ block: "nearest", inline: "nearest" }});
                const box = element.getBoundingClientRect();
                const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
                const top = document.elementFromPoint(x, y);
                return {{ x, y, free: element.contains(top) || top?.contains(element) && top === element }};
            }})()"""
        )
        if not place.pop("free"):
            raise RuntimeError(f"{selector} is covered or out of view")
        event = place | {"button": "left", "clickCount": 1, "modifiers": modifiers}
        self.call("Input.dispatchMouseEvent", type="mousePressed", **event)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **event)

    def downloads_to(self, folder: Path) -> None:
        """Keep what is downloaded in a folder."""
        self.browser.call(
            "Browser.setDownloadBehavior",
            behavior="allow",
            browserContextId=self.context,
            downloadPath=str(folder),
            eventsEnabled=True,
        )

    def downloaded(self, folder: Path, since: int) -> Path:
        """The file of a download that began after `since` events, when it is complete."""
        name = self.browser.wait(self.session, "Browser.downloadWillBegin", since)["suggestedFilename"]
        end = time.monotonic() + PATIENCE
        while not any(
            event["method"] == "Browser.downloadProgress" and event["params"]["state"] == "completed"
            for event in self.browser.events[since:]
        ):
            if time.monotonic() > end:
                raise TimeoutError(f"{name} is not complete")
            self.value("1")  # events come with answers
        return folder / name

    def screenshot(self, path: Path) -> None:
        """Save what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, exceptions and what the browser itself logged."""
        texts = []
        for event in self._own():
            kind, facts = event["method"], event["params"]
            if kind == "Runtime.exceptionThrown":
                details = facts["exceptionDetails"]
                texts.append(details.get("exception", {}).get("description") or details["text"])
            elif kind == "Runtime.consoleAPICalled" and facts["type"] in ("error", "warning", "assert"):
                texts.append(" ".join(str(argument.get("value")) for argument in facts["args"]))
            elif kind == "Log.entryAdded" and facts["entry"]["level"] in ("error", "warning"):
                texts.append(facts["entry"]["text"])
        return texts

    def requests(self) -> list[str]:
        """Addresses of all that the page asked for."""
        return [event["params"]["request"]["url"] for event in self._own() if event["method"] == "Network.requestWillBeSent"]

    def _own(self) -> list[dict]:
        return [event for event in self.browser.events if event.get("sessionId") == self.session]
