"""A page in headless Chromium, driven through its debugging pipe."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_OPTIONS = "--headless --no-sandbox --disable-gpu --no-first-run --remote-debugging-pipe"
_SECONDS = 120  # of waiting, at most


class OpenPage:
    """A page that stays open while its file changes."""

    def __init__(self, ask, answers):
        self._ask, self._answers, self._numbers = ask, answers, count(1)
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(own["targetId"] for own in targets if own["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    _session: str | None = None

    def call(self, method: str, **parameters) -> dict:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        self._ask.write(json.dumps(message).encode() + b"\0")
        self._ask.flush()
        while (answer := self._read()).get("id") != number:
            pass
        return answer.get("result", {})

    def evaluate(self, script: str) -> object:
        """Return the value of an expression; None while the page is being loaded."""
        return self.call("Runtime.evaluate", expression=script).get("result", {}).get("value")

    def wait_for(self, script: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not self.evaluate(script):
            assert time.monotonic() < deadline, f"never came true: {script}"
            time.sleep(0.05)

    def _read(self) -> dict:
        text = b""
        while not text.endswith(b"\0"):
            text += self._answers.read(1)
        return json.loads(text[:-1])


@contextmanager
def open_page(path: Path, profile: Path) -> Iterator[OpenPage]:
    """Open a file in a browser of its own, and close the browser at the end."""
    ask, answers = os.pipe(), os.pipe()  # its descriptors 3 and 4
    redirect = f'exec "$@" 3<&{ask[0]} 4>&{answers[1]}'
    options = [*_OPTIONS.split(), f"--user-data-dir={profile}", path.as_uri()]
    process = subprocess.Popen(
        ["bash", "-c", redirect, "bash", BROWSER, *options],
        pass_fds=[ask[0], answers[1]],
        stderr=subprocess.DEVNULL,
    )
    os.close(ask[0]), os.close(answers[1])
    with os.fdopen(ask[1], "wb") as writer, os.fdopen(answers[0], "rb") as reader:
        try:
            yield OpenPage(writer, reader)
        finally:
            process.kill()
            process.wait()
