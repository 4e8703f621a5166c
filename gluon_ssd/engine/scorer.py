"""Scoring in a process of its own, so that training goes on meanwhile.

Only what needs no network is done there: pycocotools, the files of ``val/`` and their pictures.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
import traceback
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from ..data.coco import CocoDataset
from ..errors import UserError
from .coco_eval import Scores
from .distributed import World
from .evaluate import Evaluation, Found, score_detections, write_evaluation
from .stop_signals import kept_from_children


class Scorer:
    """Takes detections, gives their scores back in the same order.

    The process writes ``folder`` for every evaluation that is better than all before it and than ``best``.
    It ends with `close`, and when this process ends in any way.
    """

    def __init__(self, dataset: CocoDataset, folder: Path, best: float | None) -> None:
        package = str(Path(__file__).resolve().parents[2])
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        # It computes on no device, and is not one of the processes that a launcher has started.
        alone = {"PYTHONPATH": os.pathsep.join(paths), "CUDA_VISIBLE_DEVICES": ""}
        # Ctrl-C reaches every process of the terminal, Slurm's SIGTERM every process of a job; the training
        # decides what becomes of this one.
        with kept_from_children():
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **alone},
            )
        self._replies: queue.Queue[Any] = queue.Queue()
        self.waiting = 0
        self._send((dataset, folder, best))
        threading.Thread(target=self._read, name="gluon_ssd-scorer", daemon=True).start()

    def submit(self, found: Found, seconds: float) -> None:
        """Hands detections over; ``seconds``: what finding them took."""
        self.waiting += 1
        self._send((found, seconds))

    def results(self, wait: bool) -> list[Scores]:
        """Scores that are there and were not fetched yet; with ``wait``, all that were asked for.

        Their ``coco_eval`` is None. Raises UserError for what cannot be written, RuntimeError when the
        process has ended.
        """
        found = []
        while self.waiting and (wait or not self._replies.empty()):
            reply = self._replies.get()
            self.waiting -= 1
            if isinstance(reply, Exception):
                raise reply
            found.append(reply)
        return found

    def close(self) -> None:
        """Ends the process; what it has not scored yet is dropped."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()
        except OSError:
            raise RuntimeError("the process that computes scores has ended") from None

    def _read(self) -> None:
        assert self._process.stdout is not None
        while True:
            try:
                self._replies.put(pickle.load(self._process.stdout))
            except (EOFError, OSError, ValueError, pickle.UnpicklingError):
                self._replies.put(RuntimeError("the process that computes scores has ended"))
                return


class Unscored:
    """Evaluations of a training whose scores are not there yet, the oldest first.

    ``scorer`` is rank 0's; the other ranks have none and learn the scores from it.
    """

    def __init__(self, world: World, scorer: Scorer | None) -> None:
        self._world, self._scorer = world, scorer
        self._begun: list[tuple[int, int, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._begun)

    def add(self, epoch: int, step: int, kept: Any, found: Found, seconds: float) -> None:
        """Has detections of ``epoch`` scored; ``kept`` comes back with the scores."""
        if self._scorer is not None:
            self._scorer.submit(found, seconds)
        self._begun.append((epoch, step, kept))

    def take(self, wait: bool) -> list[tuple[int, int, Any, Scores]]:
        """Epoch, step, what was kept and scores of those that are done; with ``wait``, of all. Collective."""
        if not self._begun:
            return []
        done = self._world.share(self._scorer and self._scorer.results(wait))
        taken, self._begun = self._begun[: len(done)], self._begun[len(done) :]
        return [(*begun, scores) for begun, scores in zip(taken, done)]

    def close(self) -> None:
        """Ends rank 0's process."""
        if self._scorer is not None:
            self._scorer.close()


def _serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answers one request after the other until there are no more."""
    dataset, folder, best = pickle.load(source)
    while True:
        try:
            found, seconds = pickle.load(source)
        except EOFError:
            return
        reply: Any
        try:
            scores = score_detections(found, dataset)
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


def main() -> None:
    """The process itself: requests on standard input, scores on standard output."""
    with contextlib.suppress(OSError, AttributeError):  # Windows has none
        os.nice(5)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(BrokenPipeError):
        _serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
