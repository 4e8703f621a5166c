"""What SIGINT (Ctrl-C) and SIGTERM (Slurm, docker stop) do to a training."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mxnet as mx

from ..errors import Interrupted
from ..runs import checkpoint_path
from ..weights.checkpoint import Progress
from .distributed import World

# A launcher may pass on a key press that the terminal has sent already; that is not a second one.
_SAME_PRESS = 0.2
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICE = b"\nending as soon as nothing is lost; Ctrl-C again ends at once\n"


class StopSignals:
    """Turns SIGINT and SIGTERM into `Interrupted`, as a context manager around a training.

    A signal raises at once, except inside `held`: there the training goes on to the next place where it can
    end, mostly one where its state is saved. A second SIGINT raises at once everywhere. A signal that the
    process ignores, as nohup has it, stays ignored. Only the main thread can receive signals; in another one
    nothing changes.
    """

    # Where threads are started or waited for, signals are held: an exception that comes while Python starts a
    # thread leaves one that nobody ends, and one that comes while a lock is taken leaves it locked. The
    # process would wait for both at its end, forever.

    def __init__(self, world: World) -> None:
        self._world = world
        self._previous: dict[int, Any] = {}
        self._received, self._when = 0, 0.0
        self._held = self._raised = False
        self._exchanged: mx.nd.NDArray | None = None

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # None: a handler that Python did not set and cannot put back.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        # Some libraries make an error of their own of whatever is raised within them.
        if self._raised and isinstance(error, Exception):
            raise Interrupted(self._received) from None

    def asked(self) -> bool:
        """Returns whether to stop before the next step; all ranks get the same answer. Collective.

        With several ranks it is the answer to the question of the step before, which has arrived by now, so
        that no rank waits for the others here.
        """
        if self._world.size == 1:
            return self._received > 0
        before = 0.0 if self._exchanged is None else float(self._exchanged.asscalar())
        self._exchanged = mx.nd.array([self._received])
        self._world.allreduce([self._exchanged], ["stop"])
        return before > 0

    def raise_waiting(self) -> None:
        """Raises Interrupted where a signal waits, on this rank alone: there is nothing to save."""
        if self._received:
            raise Interrupted(self._received)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps signals waiting inside, until the state is saved; then all ranks end together. Collective."""
        self._held = True
        try:
            yield
            number = max(self._world.gather(self._received))
        finally:
            self._held = False
        if number:
            raise Interrupted(number, together=True)
        # This one came while the ranks were asking each other.
        self.raise_waiting()

    def _receive(self, number: int, frame: Any) -> None:
        first = not self._received
        if first:
            self._received, self._when = number, time.monotonic()
            if not self._held:
                self._raised = True
                raise Interrupted(number)
            if number == signal.SIGINT and os.isatty(2):
                # Written directly, because the signal may have come in the middle of a print.
                os.write(2, _NOTICE)
        elif number == signal.SIGINT and time.monotonic() - self._when > _SAME_PRESS:
            raise Interrupted(number)


@contextlib.contextmanager
def kept_from_children() -> Iterator[None]:
    """Keeps SIGINT and SIGTERM from the processes started inside, for as long as they live."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stopped_at(
    error: KeyboardInterrupt, progress: Progress, run_dir: Path, saved: int | None
) -> Interrupted:
    """Returns ``error`` with the line that says where a training ended and how to go on.

    ``saved``: the step of the last checkpoint.
    """
    stop = error if isinstance(error, Interrupted) else Interrupted(signal.SIGINT)
    word = "interrupted by SIGTERM" if stop.number == signal.SIGTERM else "interrupted"
    where = f"in epoch {progress.epoch}" if progress.batch else f"after epoch {progress.epoch - 1}"
    advice = way_on(run_dir, progress.step == saved)
    return Interrupted(stop.number, f"{word} {where}, step {progress.step}; {advice}", stop.together)


def way_on(run_dir: Path, saved: bool = False) -> str:
    """Returns how to go on with a training; ``saved``: nothing is lost."""
    if not checkpoint_path(run_dir).is_file():
        return "no checkpoint was written yet"
    start = "its state is saved; to go on" if saved else "to go on from the last checkpoint"
    return f"{start}: gluon-ssd train --resume --output {shlex.quote(str(run_dir))}"
