"""Records as a source of DALI pipelines. Needs the extra ``dali``.

DALI's own readers of RecordIO and TFRecord go through files in their order, and the reader of RecordIO takes
only one file. This source gives records of any kind, in any order, with the boxes that the native loader
uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..records import Record


def record_source(records: Sequence[Record], order: Sequence[int]) -> Any:
    """Returns DALI's nodes for the records ``order``, one after the other. Call it in a pipeline definition.

    The nodes are the encoded picture uint8 (bytes,); boxes float32 (n, 4), ltrb fractions of the picture;
    labels int32 (n,), the class from 0; and index int32 (1,) into ``records``. Crowd regions are left out.
    Pictures with an EXIF orientation come as PNG without it, turned as their boxes want it, and GIF, AVIF and
    HEIC as PNG. The last run is filled up with the last record, and further runs repeat it. A picture that
    cannot be read raises UserError where the pipeline runs.
    """
    from nvidia.dali import fn, types

    def sample(info: Any) -> tuple[np.ndarray, ...]:
        # DALI always asks for whole batches, and asks ahead beyond the last; the loader drops what is too
        # much.
        return _sample(records, order[min(info.idx_in_epoch, len(order) - 1)])

    return fn.external_source(
        sample,
        num_outputs=4,
        batch=False,
        dtype=[types.UINT8, types.FLOAT, types.INT32, types.INT32],
        ndim=[1, 2, 1, 1],
    )


def _sample(records: Sequence[Record], index: int) -> tuple[np.ndarray, ...]:
    record = records[index]
    boxes, labels = record.objects()
    fractions = boxes / np.array([record.width, record.height] * 2, np.float32)
    return np.frombuffer(record.agreeing(), np.uint8), fractions, labels, np.array([index], np.int32)
