"""A server in this process that answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from yolean.benchmarks.servers.server_process import PATH


class StatusServer(ThreadingHTTPServer):
    """Answers each POST with the next of `statuses`, again and again, and keeps the different bodies."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = [200]
        self.bodies: set[bytes] = set()
        self.count = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}{PATH}"

    def handle_error(self, *_: Any) -> None:  # wrk leaves without a word
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: StatusServer

    def do_POST(self) -> None:
        self.server.bodies.add(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.statuses[self.server.count % len(self.server.statuses)]
        self.server.count += 1
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def answered() -> Iterator[StatusServer]:
    http = StatusServer()
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield http
    http.shutdown()
    thread.join()
    http.server_close()
