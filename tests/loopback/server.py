"""A web server on the loopback interface that answers by a script and remembers what it was asked.

It speaks no API itself: `messages` and `completions` make bodies, `faults` breaks them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """A request as it arrived; `headers` has lower-case names, `body` is its JSON."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """What goes out, and what goes wrong on the way.

    Attributes:
        body: as sent.
        status: of HTTP.
        content_type: of the body.
        location: where a redirection points.
        headers: others; `retry-after-ms` is a short one where it is not among them.
        hang_up: close the connection instead of answering.
        cut: close it after the headers and half of the body.
        slow: wait before the body until the client has gone, or the server ends.
    """

    body: str = ""
    status: int = 200
    content_type: str = "application/json"
    location: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_up: bool = False
    cut: bool = False
    slow: bool = False


Script = Callable[[Asked], Answer]


def in_turn(*answers: Answer) -> Script:
    """A script that gives each answer once. A request too many is answered 418, which no client
    repeats and every test notices."""
    left = list(answers)

    def next_answer(asked: Asked) -> Answer:
        return left.pop(0) if left else Answer('{"error": "the script has ended"}', status=418)

    return next_answer


class LoopbackServer:
    """Serves a script while it is entered; requests are answered one after the other in it.

    Attributes:
        url: where it listens, without a slash at the end.
        asked: every request, in order.
    """

    def __init__(self, script: Script) -> None:
        self.asked: list[Asked] = []
        self._script = script
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        # A short poll, because leaving waits for one.
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def paths(self) -> list[str]:
        """Of every request, in order."""
        return [asked.path for asked in self.asked]

    def bodies(self) -> list[Any]:
        """Of every request, in order."""
        return [asked.body for asked in self.asked]

    def _take(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            return self._script(asked)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take, ending = self._take, self._ending

        class Handler(_Handler):
            def answer(self) -> None:
                self.give(take(self.read_request()), ending)

            do_GET = do_POST = answer

        return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def read_request(self) -> Asked:
        sent = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Asked(self.command, self.path, headers, json.loads(sent) if sent else None)

    def give(self, answer: Answer, ending: threading.Event) -> None:
        self.close_connection = True
        if answer.hang_up:
            return
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("content-type", answer.content_type)
        self.send_header("connection", "close")
        # Clients wait this long before they repeat themselves.
        for name, value in {"retry-after-ms": "1", **answer.headers}.items():
            self.send_header(name, value)
        if answer.location is not None:
            self.send_header("location", answer.location)
        if "event-stream" not in answer.content_type:
            # Only the end of the connection ends a stream of events.
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if answer.slow:
            self.wfile.flush()
            self._wait_for_the_client_to_go(ending)
            return
        self.wfile.write(body[: len(body) // 2] if answer.cut else body)

    def _wait_for_the_client_to_go(self, ending: threading.Event) -> None:
        self.connection.settimeout(0.01)
        while not ending.is_set():
            try:
                if not self.connection.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests are quiet."""
