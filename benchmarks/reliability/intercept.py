"""Runs a command whose file operations are asked about first, as the kernel sees them.

So also those of MXNet's, OpenCV's and FFmpeg's own code. It is the kernel's filter of system calls with its
listener (seccomp) that asks. Linux on x86-64 alone, as root.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import functools
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from calls import CALLS, Call, understood

REPOSITORY = Path(__file__).resolve().parents[2]
# What commands use and what may be there before a process forks; read once, when nobody has to be asked.
MODULES = ("gluon_ssd.cli", "gluon_ssd.training.train", "gluon_ssd.prediction", "matplotlib.figure")
MODULES += ("matplotlib.backends.backend_agg", "tensorboardX", "onnxruntime", "onnx.reference.ops", "hotcoco")
MODULES += ("jinja2", "rich.table", "defusedxml.ElementTree", "gluon_ssd.export")
# Seconds without a call after which a command is taken to hang.
PATIENCE = 120

# struct seccomp_notif and seccomp_notif_resp of the kernel, and the numbers of the calls that pass them on.
_QUESTION, _ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_RECEIVE, _SEND, _GO_ON = 0xC0502100, 0xC0182101, 1
_SECCOMP, _NO_NEW_PRIVILEGES = 317, 38
# For all threads of the process (1), with a listener (8), and an error where that cannot be (16).
_FLAGS = 25
_ASK, _ALLOW = 0x7FC00000, 0x7FFF0000


# Returns 0 to let the call go on, or the error that it gets.
Decide = Callable[[Call], int]


def attempt(command: str, folder: Path, decide: Decide) -> tuple[int, str]:
    """Runs a command of gluon-ssd; returns its status and all that it has printed.

    ``decide`` is asked about each operation below ``folder``, where the command also has its temporary files.
    """
    ours, theirs = socket.socketpair()
    (folder / "tmp").mkdir(exist_ok=True)
    places = {"TMPDIR": str(folder / "tmp"), "GLUON_SSD_HOME": str(folder)}
    request = {"words": command.split(), "folder": str(folder), "variables": {**os.environ, **places}}
    with tempfile.TemporaryFile() as printed, ours:
        with theirs:
            files = [printed.fileno(), theirs.fileno()]
            socket.send_fds(_server(), [json.dumps(request).encode()], files)
        pid = int(_server().recv(100))
        with _descriptor(ours) as listener:
            ended = _answer(listener, f"{folder}{os.sep}", decide)
        if not ended:
            os.killpg(pid, signal.SIGKILL)
        status = int(_server().recv(100))
        printed.seek(0)
        return status if ended else -1, printed.read().decode(errors="replace")


@functools.cache
def _server() -> socket.socket:
    """Returns the channel to a process that has the modules and runs each command in a child of its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            pass_fds=[theirs.fileno()],
        )
    return ours


def _serve(channel: int) -> int:
    """Runs the commands that come through ``channel``, one after the other."""
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with socket.socket(fileno=channel) as stream:
        while True:
            text, files, _, _ = socket.recv_fds(stream, 1 << 17, 2)
            if not text:
                return 0
            pid = os.fork()
            if not pid:
                _command(*files, **json.loads(text))
            for file in files:
                os.close(file)
            stream.send(b"%d" % pid)
            stream.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _command(printed: int, channel: int, words: list[str], folder: str, variables: dict[str, str]) -> None:
    """Runs a command in this process, with the kernel asking about its calls, and ends it."""
    os.setsid()
    os.chdir(folder)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    os.environ.update(variables)
    tempfile.tempdir = None
    with socket.socket(fileno=channel) as stream:
        listener = _listener()
        socket.send_fds(stream, [b" "], [listener])
        # Once nobody answers any more, the calls fail.
        os.close(listener)
    status = 1
    try:
        status = sys.modules["gluon_ssd.cli"].main(words)
    except BaseException:
        traceback.print_exc()
    threading._shutdown()
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    # Python's own end takes apart all modules that this process shares with its parent, which takes a second.
    os._exit(status)


def _listener() -> int:
    """Has the kernel ask about the calls of `CALLS`; returns the descriptor that it asks at."""
    # Loads the number of the call, compares it with each of ours, and asks where it is one of them.
    rows = [(0x20, 0, 0, 0)]
    numbers = sorted(CALLS)
    rows += [(0x15, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    rows += [(0x06, 0, 0, _ALLOW), (0x06, 0, 0, _ASK)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *row) for row in rows))
    program = struct.pack("HxxxxxxP", len(rows), ctypes.addressof(code))
    system = ctypes.CDLL(None, use_errno=True)
    system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    descriptor = system.syscall(_SECCOMP, 1, _FLAGS, program)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "the kernel has no listener for system calls")
    return descriptor


@contextlib.contextmanager
def _descriptor(channel: socket.socket) -> Iterator[int]:
    found = socket.recv_fds(channel, 1, 1)[1]
    if not found:
        raise RuntimeError("the command did not start")
    try:
        yield found[0]
    finally:
        os.close(found[0])


def _answer(listener: int, prefix: str, decide: Decide) -> bool:
    """Answers until the command and all that it has started have ended; returns whether they have."""
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    while events := waiting.poll(PATIENCE * 1000):
        if not events[0][1] & select.POLLIN:
            return True
        question = bytearray(_QUESTION.size)
        # A process that has ended since waits for no answer.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fcntl.ioctl(listener, _RECEIVE, question)
            number, pid, _, call, _, _, *arguments = _QUESTION.unpack(question)
            found = understood(pid, call, arguments)
            error = decide(found) if found is not None and found.path.startswith(prefix) else 0
            answer = _ANSWER.pack(number, 0, -error, 0 if error else _GO_ON)
            fcntl.ioctl(listener, _SEND, bytearray(answer))
    return False


if __name__ == "__main__":
    sys.exit(_serve(int(sys.argv[1])))
