"""A detector driven by LoadGen, the load generator of MLPerf's inference benchmarks.

LoadGen decides which images are asked for when, takes the times and writes its logs. Images are decoded,
resized and normalised before it asks for them, as MLPerf has it; what is timed is the network and its
post-processing. Its answers are rows of 7 float32: index of the image, ymin, xmin, ymax, xmax as fractions,
score, category id (mlcommons/inference, vision/classification_and_detection).
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .data.transforms import EvalTransform
from .errors import import_problem
from .files import make_folder
from .predict import Detector

# Inputs that are kept in memory in a performance run; accuracy needs no more either.
_MEMORY = 512e6
# In the Server scenario 99% of the queries are to be answered in this time, as MLPerf asks of detectors.
_SERVER_NS = 100_000_000


@dataclass(frozen=True)
class Load:
    """What LoadGen is asked for: a scenario, at least this many queries, for at least so many seconds.

    ``target_qps``: queries a second that it sends in Server, and images a second that it expects in Offline.
    """

    scenario: str
    queries: int = 100
    seconds: float = 60.0
    target_qps: float = 1.0


class Library:
    """The images of a data set as inputs of the network, as far as LoadGen has asked to have them loaded."""

    def __init__(self, detector: Detector, dataset: Any) -> None:
        self.records, self.inputs = dataset.records, dict[int, np.ndarray]()
        self._transform = EvalTransform(detector.preprocess)
        self.in_memory = max(1, min(len(self.records), int(_MEMORY / self._transform.empty().nbytes)))

    def load(self, indices: Sequence[int]) -> None:
        for index in indices:
            self.inputs[index] = self._transform.empty()
            self._transform.load(self.records[index], np.random.default_rng(0), self.inputs[index])

    def unload(self, indices: Sequence[int]) -> None:
        for index in indices:
            self.inputs.pop(index, None)


def drive(detector: Detector, dataset: Any, load: Load, folder: Path, accuracy: bool = False) -> None:
    """Runs LoadGen once, which writes its logs into ``folder``: for the speed, or for the answers.

    Raises UserError where LoadGen is not installed or the folder cannot be written, and what the detector or
    an image has raised.
    """
    try:
        import mlperf_loadgen as loadgen
    except ImportError as error:
        raise (import_problem(error) or error) from None
    make_folder(folder)
    library = Library(detector, dataset)
    asked: queue.Queue[Any] = queue.Queue()
    problems: list[Exception] = []

    def load_samples(indices: Sequence[int]) -> None:
        try:
            library.load(indices)
        except Exception as error:  # LoadGen would end the process; it is raised when the run is over
            problems.append(error)

    def issue(samples: Sequence[Any]) -> None:
        for sample in samples:
            asked.put(sample)

    def run() -> None:
        test, logs = _settings(loadgen, load, folder, accuracy)
        system = loadgen.ConstructSUT(issue, lambda: None)
        count = len(library.records)
        samples = loadgen.ConstructQSL(count, library.in_memory, load_samples, library.unload)
        loadgen.StartTestWithLogSettings(system, samples, test, logs)
        loadgen.DestroyQSL(samples)
        loadgen.DestroySUT(system)
        asked.put(None)

    # The detector stays in this thread, because MXNet keeps settings by thread.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while (batch := _waiting(asked, detector.batch_size)) is not None:
        rows = [np.zeros((0, 7), np.float32)] * len(batch)
        try:
            rows = rows if problems else _answers(detector, dataset, library, batch)
        except Exception as error:  # every query has to be answered, or LoadGen would wait for ever
            problems.append(error)
        loadgen.QuerySamplesComplete(
            [
                loadgen.QuerySampleResponse(sample.id, found.ctypes.data, found.nbytes)
                for sample, found in zip(batch, rows)
            ]
        )
    thread.join()
    if problems:
        raise problems[0]


def _settings(loadgen: Any, load: Load, folder: Path, accuracy: bool) -> tuple[Any, Any]:
    test, logs = loadgen.TestSettings(), loadgen.LogSettings()
    test.scenario = getattr(loadgen.TestScenario, load.scenario)
    test.mode = loadgen.TestMode.AccuracyOnly if accuracy else loadgen.TestMode.PerformanceOnly
    test.min_query_count, test.min_duration_ms = load.queries, int(1000 * load.seconds)
    test.server_target_qps = test.offline_expected_qps = load.target_qps
    test.server_target_latency_ns = _SERVER_NS
    logs.log_output.outdir = str(folder)
    logs.log_output.copy_summary_to_stdout = False
    return test, logs


def _waiting(asked: queue.Queue[Any], most: int) -> list[Any] | None:
    """Returns the next sample and those that wait behind it, ``most`` at most; None when all is over."""
    batch = [asked.get()]
    while len(batch) < most and not asked.empty():
        batch.append(asked.get())
    # The end comes only after everything has been answered, and so never behind a sample.
    return None if batch[0] is None else batch


def _answers(detector: Detector, dataset: Any, library: Library, batch: Sequence[Any]) -> list[np.ndarray]:
    """Returns what was found, as LoadGen's rows for each sample."""
    outputs = detector.detect_batch(np.stack([library.inputs[sample.index] for sample in batch]))
    arrays = (output if isinstance(output, np.ndarray) else output.asnumpy() for output in outputs)
    answers = []
    for sample, class_ids, scores, boxes in zip(batch, *arrays):
        kept = class_ids >= 0
        rows = np.empty((int(kept.sum()), 7), np.float32)
        rows[:, 0] = sample.index
        rows[:, 1:5] = np.clip(boxes[kept], 0, 1)[:, [1, 0, 3, 2]]
        rows[:, 5] = scores[kept]
        rows[:, 6] = np.array(dataset.category_ids)[class_ids[kept].astype(int)]
        answers.append(rows)
    return answers


def score_log(path: Path, dataset: Any) -> Any:
    """Returns the `Scores`, by pycocotools, of the accuracy log that LoadGen has written."""
    from .training.evaluate import score_detections

    classes = {category: index for index, category in enumerate(dataset.category_ids)}
    found = {}
    for entry in json.loads(path.read_text(encoding="utf-8")):
        record = dataset.records[entry["qsl_idx"]]
        rows = np.frombuffer(bytes.fromhex(entry["data"]), np.float32).reshape(-1, 7)
        limits = np.array([record.width, record.height, record.width, record.height], np.float32)
        class_ids = np.array([classes[int(category)] for category in rows[:, 6]], dtype=np.int64)
        found[record.image_id] = rows[:, [2, 1, 4, 3]] * limits, rows[:, 5], class_ids
    return score_detections(found, dataset)


def summary(folder: Path) -> list[str]:
    """Returns the lines of LoadGen's summary that hold the result."""
    text = (folder / "mlperf_log_summary.txt").read_text(encoding="utf-8")
    lines = text.split("Additional Stats")[0].splitlines()
    return [line.strip() for line in lines if " : " in line and "SUT name" not in line]
