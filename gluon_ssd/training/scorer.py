"""Scoring in a process of its own, so that training goes on meanwhile.

Only what needs no network is done there: scores, the files of ``val/`` and their pictures.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from ..data.coco import CocoDataset
from ..errors import UserError
from .coco_eval import Scores
from .evaluate import Evaluation, Found, score_detections, write_evaluation
from .stop_signals import kept_from_children


class Scorer:
    """Takes detections, and gives their scores back in the same order.

    The process writes ``folder`` for every evaluation that is better than all before it and than ``best``.
    It ends with `close`, and when this process ends in any way. ``reference``: scores are pycocotools'.
    """

    # A ProcessPoolExecutor would run the user's script once more in its process, which is a second training
    # where that has no `if __name__ == "__main__"`, and its process would outlive a training that is killed.

    def __init__(
        self, dataset: CocoDataset, folder: Path, best: float | None, reference: bool = False
    ) -> None:
        package = str(Path(__file__).resolve().parents[2])
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        # It computes on no device.
        environment = {"PYTHONPATH": os.pathsep.join(paths), "CUDA_VISIBLE_DEVICES": ""}
        # Ctrl-C reaches every process of the terminal, Slurm's SIGTERM every process of a job; the training
        # decides what becomes of this one.
        with kept_from_children():
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **environment},
            )
        # One thread, so that one request after the other is sent and answered.
        self._thread = ThreadPoolExecutor(1, "gluon_ssd-scorer")
        self._asked: deque[Future[Scores]] = deque()
        self._opened = self._thread.submit(self._send, (dataset, folder, best, reference))

    def submit(self, found: Found, seconds: float) -> None:
        """Hands detections over; ``seconds``: what finding them took."""
        self._asked.append(self._thread.submit(self._ask, found, seconds))

    def results(self, wait: bool) -> list[Scores]:
        """Scores that are there and were not fetched yet; with ``wait``, all that were asked for.

        Their ``coco_eval`` is None. Raises UserError for what cannot be written, RuntimeError when the
        process has ended.
        """
        found = []
        while self._asked and (wait or self._asked[0].done()):
            found.append(self._asked.popleft().result())
        return found

    def close(self) -> None:
        """Ends the process; what it has not scored yet is dropped."""
        self._process.kill()
        self._thread.shutdown(cancel_futures=True)
        # Leaving the block waits for the process and closes both pipes; one may hold half a request.
        with contextlib.suppress(BrokenPipeError), self._process:
            pass

    def _ask(self, found: Found, seconds: float) -> Scores:
        assert self._process.stdout is not None
        try:
            self._opened.result()
            self._send((found, seconds))
            answer = pickle.load(self._process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            raise RuntimeError("the process that computes scores has ended") from None
        if isinstance(answer, Exception):
            raise answer
        scores: Scores = answer
        return scores

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        pickle.dump(message, self._process.stdin)
        self._process.stdin.flush()


def _serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answers one request after the other. Raises EOFError or UnpicklingError where there are no more."""
    dataset, folder, best, reference = pickle.load(source)
    while True:
        found, seconds = pickle.load(source)
        reply: Any
        try:
            scores = score_detections(found, dataset, reference)
            if best is None or scores.map > best:
                best = scores.map
                write_evaluation(Evaluation(scores, found, seconds), dataset, folder)
            reply = replace(scores, coco_eval=None)
        except UserError as error:
            reply = error
        except Exception:
            reply = RuntimeError(f"scoring has failed:\n{traceback.format_exc()}")
        pickle.dump(reply, sink)
        sink.flush()


def _end_with(parent: int) -> None:
    """Ends this process within a second where the training was killed.

    It might write the files of an old evaluation over those of the training that goes on.
    """
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    """Runs the process: requests come on standard input, scores go to standard output."""
    threading.Thread(target=_end_with, args=[int(sys.argv[1])], daemon=True).start()
    with contextlib.suppress(OSError, AttributeError):  # Windows has none
        os.nice(5)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # The training may end at any moment, also in the middle of a request.
    with contextlib.suppress(BrokenPipeError, EOFError, pickle.UnpicklingError):
        _serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
