"""One connection from every rank to rank 0, so that all learn within seconds that one has ended.

A collective operation waits for every rank; when one is gone, the others would wait for long, or fail with
words that do not tell which it was.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import secrets
import selectors
import socket
import sys
import threading
from typing import Any, Callable

from ..errors import UserError

# How long the network may be silent before a host counts as gone: idle + interval * count, in seconds.
_KEEPALIVE = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 5))
_GRACE = 15.0
# For every rank to connect at the start.
_PATIENCE = 60.0
_WELCOME = b"welcome"


class Lifeline:
    """Watches the ranks from a thread of its own; ends this process when another has ended too early.

    ``share(value)``: gives rank 0's value to all. ``advice()``: what the last line says after the cause;
    ``tell`` is also given that line.
    """

    def __init__(self, rank: int, size: int, share: Callable[[Any], Any]) -> None:
        self.rank = rank
        self.advice: Callable[[], str] = lambda: ""
        self.tell: Callable[[str], None] = lambda text: None
        self._others: dict[int, _Peer] = {}
        self._silent = False
        self._ending = threading.Event()
        self._selector = selectors.DefaultSelector()
        if rank == 0:
            _allow_connections(size)
            with socket.create_server(("", 0), backlog=size) as server:
                token = secrets.token_hex(16)
                share((_addresses(), server.getsockname()[1], token))
                self._welcome(server, size, token)
        else:
            addresses, port, token = share(None)
            self._watch(_Peer(0, *_reach(addresses, port, rank, token)))
        threading.Thread(target=self._listen, name="gluon_ssd-lifeline", daemon=True).start()
        atexit.register(self._goodbye)

    def fail(self, why: str, status: int = 1) -> None:
        """Tells the others that this rank ends, why, and the status they are to end with."""
        self._silent = True
        self._send({"lost": self.rank, "cause": self._cause(self.rank, why), "status": status})

    def await_cause(self) -> None:
        """Waits until another rank is known to have ended, for some seconds; then does not return."""
        if self._ending.wait(_GRACE):
            threading.Event().wait()

    def _cause(self, rank: int, why: str, host: str | None = None) -> str:
        return f"rank {rank} on {host or socket.gethostname()} ended: {why}"

    def _goodbye(self) -> None:
        silent, self._silent = self._silent, True
        if not silent:
            self._send({"done": self.rank})

    def _welcome(self, server: socket.socket, size: int, token: str) -> None:
        server.settimeout(_PATIENCE)
        while len(self._others) < size - 1:
            try:
                connection, _ = server.accept()
            except socket.timeout:
                missing = sorted(set(range(1, size)) - set(self._others))
                raise UserError(
                    f"rank {missing[0]} did not connect to rank 0, on {socket.gethostname()}, in time; "
                    "processes must be able to connect to each other"
                ) from None
            _keep_alive(connection)
            connection.settimeout(10)
            with contextlib.suppress(OSError, ValueError, KeyError):
                stream = connection.makefile("r", encoding="utf-8")
                hello = json.loads(stream.readline())
                if secrets.compare_digest(hello["token"], token):
                    connection.sendall(_WELCOME)
                    connection.settimeout(None)
                    self._watch(_Peer(hello["rank"], connection, hello["host"]))

    def _watch(self, peer: _Peer) -> None:
        self._others[peer.rank] = peer
        self._selector.register(peer.connection, selectors.EVENT_READ, peer)

    def _send(self, message: dict[str, Any]) -> None:
        line = (json.dumps(message) + "\n").encode()
        for peer in list(self._others.values()):
            with contextlib.suppress(OSError):
                peer.connection.sendall(line)

    def _listen(self) -> None:
        while self._selector.get_map():
            for key, _ in self._selector.select():
                peer = key.data
                message = peer.receive()
                if message is None or "done" in message:
                    # It stays open: the other end may be listening still.
                    self._selector.unregister(peer.connection)
                if message is None:
                    why = "it was killed, or its machine is gone"
                    self._end(peer.rank, self._cause(peer.rank, why, peer.host))
                elif "lost" in message:
                    self._end(message["lost"], message["cause"], message["status"])

    def _end(self, lost: int, cause: str, status: int = 1) -> None:
        """Passes the news on and ends this process: its main thread may be waiting for the rank forever."""
        if self._silent:
            return
        self._silent = True
        self._ending.set()
        if self.rank == 0:
            self._send({"lost": lost, "cause": cause, "status": status})
        text = cause
        with contextlib.suppress(Exception):
            text = "; ".join(filter(None, (cause, self.advice())))
            self.tell(text)
        with contextlib.suppress(Exception):
            # At once: Horovod's thread complains at the same moment, and would tear the line.
            print(f"error: {text}\n", end="", file=sys.stderr, flush=True)
            sys.stdout.flush()
        os._exit(status)


class _Peer:
    """The other end of a connection."""

    def __init__(self, rank: int, connection: socket.socket, host: str) -> None:
        self.rank, self.connection, self.host = rank, connection, host
        self._received = b""

    def receive(self) -> dict[str, Any] | None:
        """The next message; {} when it is not whole yet, None at the end."""
        try:
            data = self.connection.recv(65536)
        except OSError:
            return None
        if not data:
            return None
        self._received += data
        line, found, rest = self._received.partition(b"\n")
        if not found:
            return {}
        self._received = rest
        message: dict[str, Any] = json.loads(line)
        return message


def _addresses() -> list[str]:
    """IPv4 addresses of this machine, the loopback last."""
    import psutil  # comes with Horovod

    rows = [row for rows in psutil.net_if_addrs().values() for row in rows]
    found = sorted({row.address for row in rows if row.family == socket.AF_INET})
    return sorted(found, key=lambda address: address.startswith("127."))


def _reach(addresses: list[str], port: int, rank: int, token: str) -> tuple[socket.socket, str]:
    for address in addresses:
        with contextlib.suppress(OSError):
            connection = socket.create_connection((address, port), timeout=10)
            _keep_alive(connection)
            hello = {"rank": rank, "host": socket.gethostname(), "token": token}
            connection.sendall((json.dumps(hello) + "\n").encode())
            # Another machine's loopback may have a listener of its own.
            if connection.recv(len(_WELCOME), socket.MSG_WAITALL) == _WELCOME:
                connection.settimeout(None)
                return connection, address
    raise UserError(
        f"rank {rank} cannot reach rank 0 at {', '.join(addresses)}, port {port}; "
        "processes must be able to connect to each other"
    )


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _KEEPALIVE:
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)


def _allow_connections(count: int) -> None:
    """Raises the limit of open files where one connection per rank would meet it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 512
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
