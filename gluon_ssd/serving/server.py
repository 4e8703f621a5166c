"""Runs the application with uvicorn: one process, or several that share a port."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from ..errors import UserError
from ..plugins import import_plugins
from .settings import Settings, from_environment, limit_decoders, open_detector, read_token, to_environment

# Hosts that only programs of the same machine reach.
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# More open connections than this are answered with 503. It keeps below the usual limit of 1,024 open files.
_CONNECTIONS = 800
# So many seconds a worker may be silent before it is taken for hung and replaced. While it opens a detector
# on a busy machine, it is silent for longer than the 5 that uvicorn grants.
_SILENCE = 60


def serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serves until SIGINT or SIGTERM, and then finishes what was accepted.

    Raises UserError where the detector cannot be opened, the token cannot be read, or the port is taken.
    """
    limit_decoders(settings.max_pixels)
    token = read_token(settings)
    # With several workers this only proves that it can be opened: they open it for themselves.
    detector, threshold = open_detector(settings)
    with _listening(host, port) as listener:
        if token is None and host not in _LOOPBACK:
            print(f"warning: {host} is open to the network, and no token is asked for", file=sys.stderr)
        address = f"[{host}]" if ":" in host else host
        print(f"serving {settings.name} on http://{address}:{listener.getsockname()[1]}/", flush=True)
        if workers == 1:
            from .app import create_app

            _run_here(create_app(detector, threshold, settings), settings, listener)
        else:
            del detector
            _run_workers(settings, workers, listener)


def worker_app() -> Any:
    """Returns the application of a worker process, which uvicorn has started."""
    # In the place of uvicorn's handler, which a second Ctrl-C would have break off what is being answered.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="gluon_ssd-parent", daemon=True).start()
    settings = from_environment()
    limit_decoders(settings.max_pixels)
    import_plugins(settings.plugins)
    from .app import create_app

    return create_app(*open_detector(settings), settings)


def _end_with_parent() -> None:
    """Stops this worker when the process that has started it is gone, also one that was killed.

    Otherwise it would go on serving, and the port could not be had again.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _run_here(app: Any, settings: Settings, listener: socket.socket) -> None:
    server = _Server(_config(app, settings))
    # uvicorn has them handled while it serves. Before and after that they come here.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, server.handle_exit)
    server.run([listener])


class _Server(uvicorn.Server):
    """A server that a signal stops and a second one does not break off: its requests have their own limit."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.should_exit = True


def _run_workers(settings: Settings, workers: int, listener: socket.socket) -> None:
    to_environment(settings)
    # Until uvicorn handles them: what the system does by itself would leave the folder behind.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stopped_early)
    with tempfile.TemporaryDirectory(prefix="gluon-ssd-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        config = _config(f"{__name__}:worker_app", settings, _WorkerConfig, factory=True, workers=workers)
        Multiprocess(config, sockets=[listener], **_target(config)).run()


def _stopped_early(number: int, frame: Any) -> None:
    # Another signal must not break off what is tidied up now.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _target(config: uvicorn.Config) -> dict[str, Any]:
    """Returns the argument that uvicorn before 0.40 takes besides, and later ones no longer know."""
    import inspect

    takes = inspect.signature(Multiprocess).parameters
    return {"target": uvicorn.Server(config).run} if "target" in takes else {}


class _WorkerConfig(uvicorn.Config):
    """Has a worker ignore Ctrl-C, which a terminal sends to all processes: its parent ends it by SIGTERM."""

    def get_loop_factory(self) -> Any:
        # Before uvicorn's own handler and after it; asyncio's would end in a trace.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return super().get_loop_factory()


def _config(
    app: Any, settings: Settings, kind: type[uvicorn.Config] = uvicorn.Config, **options: Any
) -> uvicorn.Config:
    # A request may take its time to arrive and again to be answered, also while the server stops.
    longest = 2 * math.ceil(settings.timeout) + 1
    return kind(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=longest,
        timeout_worker_healthcheck=_SILENCE,
        **options,
    )


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Holds an open port. Raises UserError where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"port {port} of {host}: {reason}; choose another --port or --host") from None
    with listener:
        # For the processes of workers.
        listener.set_inheritable(True)
        yield listener
