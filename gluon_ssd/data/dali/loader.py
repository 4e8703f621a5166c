"""The DALI loader: batches made by NVIDIA DALI, in distribution those of the native loader."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ..batch import Batch, pad_objects
from ..epochs import Encoder, EpochLoader, encode_targets
from ..images import check_size
from ..record_files.dali_source import record_source
from ..records import Record, Records
from ..transforms import EvalTransform, SSDTrainTransform
from ..workers import WorkerPool
from .annotations import fits_decoders, fits_reader, write_annotations
from .options import DaliOptions

# The last word of this module's seeds, which keeps them apart from those of samples.py.
_DALI = 3
# When DALI fails it may be so many runs ahead of the consumer, its own prefetching included.
_AHEAD = 6


class DaliLoader(EpochLoader):
    """Batches of a data set, read and augmented by DALI. It is used like `NativeLoader`.

    The order of the images, the shards, and what is left out are those of the native loader, batch by batch.
    DALI's COCO reader is given the names of this rank's images in this epoch's order, and an annotation file
    made of the records (see `write_annotations`). What that reader cannot take, such as record files and
    pictures that have to be turned by their EXIF orientation, comes from `record_source` in the same order,
    and so do formats that DALI does not know.

    The pipeline is built anew each epoch, in some hundredths of a second, from a seed of (seed, epoch, rank).
    So batches depend on the data set, ``seed``, epoch, ``shard`` and ``options.batch_multiplier`` alone, not
    on threads or on what ran before. DALI cannot start in the middle of its random numbers: to resume within
    an epoch, the batches before are made again and dropped.

    ``transform`` is one of `data.transforms`. It is not run; its crops, mirroring, colours and sizes are read
    and put into DALI's terms. For ``options`` see `DaliOptions`, for ``encoder`` and ``prefetch``
    `NativeLoader`, for ``order`` `EpochLoader`. ``Batch.images`` is an NDArray that shares DALI's memory
    (DLPack, no copy), on ``options.device``; it stays valid as long as it is kept.

    Raises UserError when DALI is not installed or nothing is left to load, and, at its batch or a few before
    it, for an image that cannot be read or is not of the record's size.
    """

    def __init__(
        self,
        dataset: Records,
        transform: EvalTransform,
        batch_size: int,
        *,
        options: DaliOptions = DaliOptions(),  # noqa: B008 - frozen
        encoder: Encoder | None = None,
        prefetch: int = 2,
        **order: Any,
    ) -> None:
        self._graph = _import_graph()
        self._recipe = self._read(transform)
        super().__init__(dataset.records, batch_size, **order)
        if prefetch < 1:
            raise UserError(f"prefetch is {prefetch}; it must be at least 1")
        self.records, self.options, self.encoder = dataset.records, options, encoder
        # Counted in runs of DALI, each of which makes several batches.
        self.prefetch = -(-prefetch // options.batch_multiplier)
        self._annotations: Path | None = None
        own = [self.records[index] for index in self._indices.tolist()]
        if not fits_reader(own) or not fits_decoders(own, options.workers):
            if options.decoder == "cache":
                raise UserError(
                    "input_jpg_decode cache: DALI caches image files that are listed once, need no turning "
                    "and are no GIF, AVIF or HEIC, not record files; use gpu"
                )
        else:
            self._folder = tempfile.TemporaryDirectory(prefix="gluon_ssd-dali-")
            self._annotations = Path(self._folder.name, "annotations.json")
            write_annotations(self._annotations, self.records, self._indices)
        self._cached: Any = None

    def __iter__(self) -> Iterator[Batch]:
        """Yields the batches of the chosen epoch; ``wait_seconds`` counts the time spent waiting for them."""
        epoch = _Epoch(self)
        # DALI has threads of its own; the one worker here only waits for it and encodes targets meanwhile.
        for batches in self._work(WorkerPool(epoch.runs, epoch.job, workers=1, prefetch=self.prefetch)):
            yield from batches

    def pipeline(self, order: np.ndarray, epoch: int) -> Any:
        """Returns a built DALI pipeline over the records ``order``.

        Each of its runs makes ``batch_multiplier`` batches.
        """
        word = np.random.SeedSequence([self.seed, epoch, self.shard[0], _DALI]).generate_state(1)[0]
        size = self.batch_size * self.options.batch_multiplier
        pipeline = self._graph.build_pipeline(
            self._recipe, self.options, lambda: self._source(order), size, int(word) & 0x7FFFFFFF
        )
        # The decoder's cache lives as long as a pipeline uses it, so the last one is kept until the next
        # exists.
        self._cached = pipeline if self.options.decoder == "cache" else None
        return pipeline

    def _source(self, order: np.ndarray) -> Any:
        if self._annotations is None:
            return record_source(self.records, order.tolist())
        files = [str(self.records[index].path.absolute()) for index in order.tolist()]
        return self._graph.coco_source(self._annotations, files)

    def _read(self, transform: EvalTransform) -> Any:
        """The transform in the terms of the graph."""
        if isinstance(transform, SSDTrainTransform):
            return self._graph.Augmentation(
                transform.preprocess, transform.attempts, transform.mirror, transform.jitter
            )
        return self._graph.Augmentation(transform.preprocess, mirror=getattr(transform, "mirror", 0.0))


class _Epoch:
    """One pass through a pipeline. Job k is DALI's k-th run, counted from the batch to start at."""

    def __init__(self, loader: DaliLoader) -> None:
        self._loader = loader
        self._number = loader.epoch
        self._first = loader.start_batch
        self._order = loader.order(loader.epoch)
        # Resuming may begin inside a run: whole runs are skipped, then the first batches of the next.
        self._skipped, self._begin = divmod(self._first, loader.options.batch_multiplier)
        self.runs = -(-len(loader) // loader.options.batch_multiplier) - self._skipped
        self._pipeline: Any = None

    def job(self, number: int) -> _Run:
        return _Run(self, number)

    def run(self, number: int) -> list[Batch]:
        """Returns the batches of run ``number``. The same thread calls it every time, in order."""
        loader = self._loader
        size = loader.batch_size * loader.options.batch_multiplier
        # Built in the worker's thread, so that the consumer does not wait for it.
        if self._pipeline is None:
            self._pipeline = loader.pipeline(self._order, self._number)
            for skipped in range(self._skipped):
                self._run_pipeline(skipped * size)
        start = (self._skipped + number) * size
        indices = self._order[start : start + size]
        outputs = self._run_pipeline(start)
        first = self._begin * loader.batch_size if number == 0 else 0
        # Frees the memory of the pipeline before the next epoch, unless the cache keeps it.
        if number == self.runs - 1:
            self._pipeline = None
        return self._split(outputs, indices, first)

    def _run_pipeline(self, start: int) -> Any:
        try:
            return self._pipeline.run()
        except RuntimeError as error:
            self._pipeline = None
            loader = self._loader
            ahead = _AHEAD * loader.batch_size * loader.options.batch_multiplier
            indices = self._order[start : start + ahead]
            raise _explain(error, [loader.records[index] for index in indices.tolist()]) from error

    def _split(self, outputs: Any, indices: np.ndarray, first: int) -> list[Batch]:
        """The batches of the first ``len(indices)`` images; what DALI filled the run up with is left out."""
        import mxnet as mx

        loader, graph = self._loader, self._loader._graph
        images = mx.nd.from_dlpack(outputs[graph.IMAGES].as_tensor().__dlpack__())
        found = np.array(outputs[graph.INDICES].as_tensor()).reshape(-1)[: len(indices)]
        # A guard against pairing images with another's objects, should DALI ever read in another order.
        if not np.array_equal(found, indices):
            raise RuntimeError(f"DALI read records {found.tolist()} instead of {indices.tolist()}")
        shapes = np.array(outputs[graph.SHAPES].as_tensor())
        batches = []
        for start in range(first, len(indices), loader.batch_size):
            rows = range(start, min(start + loader.batch_size, len(indices)))
            records = [loader.records[indices[row]] for row in rows]
            for row, record in zip(rows, records):
                check_size(tuple(shapes[row][:2]), (record.height, record.width), 1, record.path)
            objects = [_objects(outputs[graph.BOXES].at(row), outputs[graph.LABELS].at(row)) for row in rows]
            whole = len(rows) == len(images)
            batches.append(self._batch(images if whole else images[rows.start : rows.stop], records, objects))
        return batches

    def _batch(self, images: Any, records: list[Record], objects: Any) -> Batch:
        boxes, labels = pad_objects(objects)
        ids = np.array([record.image_id for record in records], np.int64)
        sizes = np.array([(record.height, record.width) for record in records], np.int32)
        targets = encode_targets(self._loader.encoder, boxes, labels, ids)
        return Batch(images, boxes, labels, ids, sizes, targets, self._loader.options.layout)


class _Run:
    """One run of DALI as a job of the worker pool."""

    slots = 1

    def __init__(self, epoch: _Epoch, number: int) -> None:
        self._epoch, self._number = epoch, number
        self._batches: list[Batch] = []

    def run(self, slot: int) -> None:
        self._batches = self._epoch.run(self._number)

    def finish(self) -> list[Batch]:
        return self._batches


def _objects(boxes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes float32 (n, 4) and labels int32 (n,) of one image, without those that have no extent left."""
    boxes = np.clip(boxes.reshape(-1, 4), 0, 1)
    sized = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return boxes[sized], labels.reshape(-1)[sized].astype(np.int32)


def _explain(error: RuntimeError, records: Sequence[Record]) -> Exception:
    """The error to raise for DALI's.

    DALI does not always name the file, so each candidate is decoded by our own decoder, whose error names it.
    """
    for record in records:
        try:
            record.pixels()
        except UserError as bad:
            return bad
    reason = [line for line in str(error).splitlines() if line.strip()]
    first, last = records[0].path, records[-1].path
    return RuntimeError(f"DALI failed on the images {first} .. {last}: {' '.join(reason)}")


def _import_graph() -> Any:
    try:
        importlib.import_module("nvidia.dali")
    except ImportError as error:
        raise UserError(
            f"data_pipeline dali: DALI is not installed ({error}); pip install 'gluon_ssd[dali]'"
        ) from None
    return importlib.import_module("gluon_ssd.data.dali.graph")
