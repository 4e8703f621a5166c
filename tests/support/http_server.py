"""A server in this process or in one of its own, and what sends requests to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from places import REPOSITORY

for package in ("starlette", "uvicorn", "python_multipart", "prometheus_client"):
    pytest.importorskip(package, reason=f'{package} is not installed: pip install "gluon_ssd[serve]"')


class Answer(NamedTuple):
    """An answer: its status, its headers in lower case, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Sends requests to a port of this machine, each by a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(self, path: str, body: Any = None, method: str = "", **headers: str) -> Answer:
        """``Content_Type="image/png"`` and the like are headers; with a body the method is POST."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(connection):
            connection.request(method or ("GET" if body is None else "POST"), path, body, named)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())

    def form(self, path: str, *parts: tuple[str, str, bytes], **headers: str) -> Answer:
        """Sends a form of (field, file name or "" for a plain field, content)."""
        lines = []
        for field, name, content in parts:
            file = f'; filename="{name}"' if name else ""
            head = f'--limit\r\nContent-Disposition: form-data; name="{field}"{file}\r\n\r\n'
            lines.append(head.encode() + content + b"\r\n")
        kind = "multipart/form-data; boundary=limit"
        return self(path, b"".join(lines) + b"--limit--\r\n", Content_Type=kind, **headers)

    def connect(self, data: bytes) -> socket.socket:
        """Returns a connection to which these bytes were sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(data)
        return connection


@contextlib.contextmanager
def in_thread(app: Any) -> Iterator[Client]:
    """Serves an application from a thread of this process."""
    import uvicorn

    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        try:
            client = Client(listener.getsockname()[1])
            assert client("/readyz").status == 200
            yield client
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


class Process(NamedTuple):
    """A server in a process of its own; ``lines`` are those it has printed so far."""

    popen: subprocess.Popen[str]
    client: Client
    lines: list[str]


@contextlib.contextmanager
def in_process(source: Path, *flags: Any, **environment: str) -> Iterator[Process]:
    """Runs ``gluon-ssd serve`` on a free port until the block is left."""
    command = [sys.executable, "-m", "gluon_ssd", "serve", source, "--port", 0, *flags]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen([str(part) for part in command], env=env, **pipes) as popen:
        try:
            lines: list[str] = []
            rest = iter(popen.stdout.readline, "")
            reader = threading.Thread(target=lines.extend, args=(rest,), daemon=True)
            first = next((line for line in popen.stdout if line.startswith("serving ")), None)
            assert first, "the server has ended"
            reader.start()
            client = Client(int(first.rstrip("/\n").rpartition(":")[2]))
            assert client("/readyz").status == 200
            yield Process(popen, client, lines)
        finally:
            # Not killed, so that nothing of it stays in temporary folders.
            popen.terminate()
            popen.wait(120)


def wait_until(condition: Any, seconds: float = 60) -> None:
    """Waits until a condition holds. Fails if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
