"""A local HTTP server that can begin in the middle of a file, and break off, as real ones do."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class RangeServer:
    """Serves the files under ``folder``; use as a context.

    ``ranges``: can it begin in the middle; ``cut``: bytes of each body after which it breaks off;
    ``failures``: how many answers say 503 first; ``asked``: (path, Range header) of every request.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.ranges, self.cut = folder, True, None
        self.asked: list[tuple[str, str | None]] = []
        self.failures = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> RangeServer:
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        if self.failures > 0:
            self.failures -= 1
            request.send_error(503)
            return
        path = self.folder / request.path.lstrip("/")
        if not path.is_file():
            request.send_error(404)
            return
        content = path.read_bytes()
        start = int(wanted[6:-1]) if wanted and self.ranges else 0
        if start and start >= len(content):
            request.send_error(416)
            return
        body = content[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.cut])
        if self.cut is not None:
            request.close_connection = True
