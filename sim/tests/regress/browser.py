# SPDX-License-Identifier: Apache-2.0
"""A page in headless Chromium, over the DevTools protocol: what a user's clicks do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

_Value = TypeVar("_Value")
_PATIENCE_S = 60


class Browser:
    """One page.

    Args:
        program: Chromium's.
        folder: for its profile.
        page: the file.
    """

    def __init__(self, program: str, folder: Path, page: Path) -> None:
        self._loop = asyncio.new_event_loop()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        self._process = subprocess.Popen(
            [program, *options, f"--user-data-dir={folder}", page.as_uri()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._number = 0
        self._socket = self._run(self._connect(folder / "DevToolsActivePort"))

    def _run(self, work: Coroutine[Any, Any, _Value]) -> _Value:
        return self._loop.run_until_complete(asyncio.wait_for(work, _PATIENCE_S))

    async def _connect(self, port_file: Path) -> Any:
        from tornado.httpclient import AsyncHTTPClient
        from tornado.websocket import websocket_connect

        while not (port_file.is_file() and port_file.read_text().count("\n")):
            await asyncio.sleep(0.05)
        port = port_file.read_text().split("\n")[0]
        while True:
            answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/json")
            pages = [each for each in json.loads(answer.body) if each["type"] == "page"]
            if pages:
                return await websocket_connect(pages[0]["webSocketDebuggerUrl"])
            await asyncio.sleep(0.05)

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript is in the page."""
        return self._run(self._value(expression))

    async def _value(self, expression: str) -> Any:
        self._number += 1
        parameters = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        call = {"id": self._number, "method": "Runtime.evaluate", "params": parameters}
        await self._socket.write_message(json.dumps(call))
        while True:
            answer = json.loads(await self._socket.read_message())
            if answer.get("id") == self._number:
                assert "exceptionDetails" not in answer["result"], answer
                return answer["result"]["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Wait until an expression is true; gives it."""
        end = time.monotonic() + _PATIENCE_S
        while not (value := self.value(expression)):
            assert time.monotonic() < end, expression
            time.sleep(0.05)
        return value

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(Exception):
            self._socket.close()
        self._process.terminate()
        self._process.wait()
        self._loop.close()


@contextlib.contextmanager
def opened(program: str, folder: Path, page: Path) -> Iterator[Browser]:
    """A page whose table is there."""
    browser = Browser(program, folder, page)
    try:
        browser.wait("!!(document.body && document.body.dataset.ready)")
        yield browser
    finally:
        browser.close()
