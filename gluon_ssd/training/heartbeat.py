"""One connection from every rank to rank 0, so that all learn within seconds that one has ended.

A collective operation waits for every rank. When one is gone, the others would wait for long, or fail with
words that do not tell which one it was.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import socket
import sys
import threading
from multiprocessing.connection import Connection, wait
from typing import Any, Callable

from ..errors import UserError

# TCP's keep-alive is the heartbeat: a host that is silent for idle + interval * count seconds is gone.
_KEEPALIVE = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 5))
# Seconds for a first answer, for another rank's end to be known, and for every rank to connect.
_ANSWER, _GRACE, _PATIENCE = 10.0, 15.0, 60.0
_WELCOME = b"welcome"
_UNREACHABLE = "processes must be able to connect to each other"


class Heartbeat:
    """Watches the ranks from a thread of its own; ends this process when another has ended too early.

    ``share(value)``: gives rank 0's value to all. ``advice()``: what the last line says after the cause;
    ``tell`` is also given that line.
    """

    def __init__(self, rank: int, size: int, share: Callable[[Any], Any]) -> None:
        self.rank = rank
        self.advice: Callable[[], str] = lambda: ""
        self.tell: Callable[[str], None] = lambda text: None
        # By connection: rank and host at its other end.
        self._others: dict[Connection, tuple[int, str]] = {}
        self._silent = False
        self._ending = threading.Event()
        if rank == 0:
            self._accept(size, share)
        else:
            self._connect(*share(None))
        threading.Thread(target=self._listen, name="gluon_ssd-heartbeat", daemon=True).start()
        atexit.register(self._goodbye)

    def fail(self, why: str, status: int = 1) -> None:
        """Tells the others that this rank ends, why, and the status they are to end with."""
        self._silent = True
        self._send((_cause(self.rank, socket.gethostname(), why), status))

    def await_cause(self) -> None:
        """Waits until another rank is known to have ended, for some seconds; then does not return."""
        if self._ending.wait(_GRACE):
            threading.Event().wait()

    def _goodbye(self) -> None:
        silent, self._silent = self._silent, True
        if not silent:
            self._send(None)

    def _accept(self, size: int, share: Callable[[Any], Any]) -> None:
        _allow_connections()
        token = secrets.token_bytes(16)
        with socket.create_server(("", 0), backlog=size) as server:
            server.settimeout(_PATIENCE)
            share((_addresses(), server.getsockname()[1], token))
            while len(self._others) < size - 1:
                try:
                    connection = _wrap(server.accept()[0])
                except socket.timeout:
                    missing = min(set(range(1, size)) - {rank for rank, _ in self._others.values()})
                    here = f"rank 0, on {socket.gethostname()}"
                    raise UserError(
                        f"rank {missing} did not connect to {here}, in time; {_UNREACHABLE}"
                    ) from None
                with contextlib.suppress(OSError, EOFError):
                    # Only what comes after the token may be unpickled.
                    if connection.poll(_ANSWER) and secrets.compare_digest(connection.recv_bytes(99), token):
                        rank_and_host = connection.recv()
                        connection.send_bytes(_WELCOME)
                        self._others[connection] = rank_and_host

    def _connect(self, addresses: list[str], port: int, token: bytes) -> None:
        for address in addresses:
            with contextlib.suppress(OSError, EOFError):
                connection = _wrap(socket.create_connection((address, port), timeout=_ANSWER))
                connection.send_bytes(token)
                connection.send((self.rank, socket.gethostname()))
                # Another machine's loopback may have a listener of its own.
                if connection.poll(_ANSWER) and connection.recv_bytes(99) == _WELCOME:
                    self._others[connection] = 0, address
                    return
        raise UserError(
            f"rank {self.rank} cannot reach rank 0 at {', '.join(addresses)}, port {port}; {_UNREACHABLE}"
        )

    def _send(self, end: tuple[str, int] | None) -> None:
        """Tells the others why a rank has ended early, with their own status; None: this one is through."""
        for connection in self._others:
            with contextlib.suppress(OSError):
                connection.send(end)

    def _listen(self) -> None:
        listening = list(self._others)
        while listening:
            told, silent = [], []
            ready = wait(listening)
            for connection in ready:
                assert isinstance(connection, Connection)
                try:
                    told.append(connection.recv())
                except (OSError, EOFError):
                    silent.append(self._others[connection])
            # The one message of each has come. They stay open: the other end may be listening still.
            listening = [connection for connection in listening if connection not in ready]
            causes = [end for end in told if end is not None]
            if causes or silent:
                # One may have crashed because of the other: a reason counts first, and no name is left out.
                self.end(*(causes[0] if causes else (_killed(silent), 1)))

    def end(self, cause: str, status: int = 1) -> None:
        """Passes the news on and ends this process: its main thread may be waiting for the rank forever."""
        if self._silent:
            return
        self._silent = True
        self._ending.set()
        if self.rank == 0:
            self._send((cause, status))
        text = cause
        with contextlib.suppress(Exception):
            text = "; ".join(filter(None, (cause, self.advice())))
            self.tell(text)
        with contextlib.suppress(Exception):
            # At once: Horovod's thread complains at the same moment, and would tear the line.
            print(f"error: {text}\n", end="", file=sys.stderr, flush=True)
            sys.stdout.flush()
        os._exit(status)


def _cause(rank: int, host: str, why: str) -> str:
    return f"rank {rank} on {host} ended: {why}"


def _killed(ranks: list[tuple[int, str]]) -> str:
    """Returns the cause where ``ranks``, each a number and a host, have ended together without a word."""
    if len(ranks) == 1:
        return _cause(*ranks[0], "it was killed, or its machine is gone")
    named = " and ".join(f"rank {rank} on {host}" for rank, host in sorted(ranks))
    return f"{named} ended: they were killed, or their machines are gone"


def _wrap(connected: socket.socket) -> Connection:
    """Returns a connection that sends whole messages; the kernel looks whether its other end is alive."""
    connected.settimeout(None)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _KEEPALIVE:
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
    return Connection(connected.detach())


def _allow_connections() -> None:
    """Raises the limit of open files as far as it goes: rank 0 holds a connection to every other rank."""
    import resource

    # macOS refuses where the limit is without bounds.
    with contextlib.suppress(ValueError, OSError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _addresses() -> list[str]:
    """Returns the IPv4 addresses of this machine, the loopback last."""
    import psutil  # comes with Horovod

    rows = [row for rows in psutil.net_if_addrs().values() for row in rows]
    found = {row.address for row in rows if row.family == socket.AF_INET}
    return sorted(found, key=lambda address: (address.startswith("127."), address))
