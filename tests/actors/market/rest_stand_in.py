"""A venue's REST interface as a stand-in: a real socket, answers in the venue's own format, faults on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Query = dict[str, str]
Answer = tuple[int, Any]
Answering = Callable[[str, Query], Answer]


class RestStandIn:
    """Listens on loopback. `faults`: (status, headers, body) to give before anything else, in order.

    `asked`: paths with queries, of what was answered and of what was not; `headers` of the last request.
    """

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.faults: list[tuple[int, Mapping[str, str], Any]] = []
        self.asked: list[tuple[str, Query]] = []
        self.headers: dict[str, str] = {}
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stand_in._answer(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.asked.append((parts.path, query))
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        headers: Mapping[str, str] = {}
        if self.faults:
            status, headers, body = self.faults.pop(0)
        else:
            status, body = self.answering(parts.path, query)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def rest_stand_in(answering: Answering) -> Iterator[RestStandIn]:
    stand_in = RestStandIn(answering)
    try:
        yield stand_in
    finally:
        stand_in.close()


class LeapingClock:
    """Wall and monotonic time that nobody waits for: who sleeps moves it. `slept`: seconds, in order."""

    def __init__(self, start: int) -> None:
        self._now = start
        self.slept: list[float] = []

    def now(self) -> int:
        return self._now

    def monotonic(self) -> int:
        return self._now

    async def sleep_until(self, moment: int) -> None:
        if moment > self._now:
            self.slept.append((moment - self._now) / 1e9)
            self._now = moment
