"""What finds detections among outputs, in ONNX: places, selections, and non-maximum suppression."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from .operators import Call, ints, number, operator


@operator("topk")
def topk(call: Call) -> Any:
    options = {"axis": call.get("axis", -1), "largest": int(not call.get("is_ascend", False))}
    values, places = call.add("TopK", call.inputs[0], ints(call.get("k", 1)), outputs=2, **options)
    wanted = call.get("ret_typ", "indices")
    if wanted == "value":
        return values
    numbers = call.add("Cast", places, to=TensorProto.FLOAT)
    if wanted == "indices":
        return numbers
    if wanted != "both":
        raise call.refuse(f"with ret_typ {wanted}")
    return [values, numbers]


@operator("gather_nd")
def gather_nd(call: Call) -> str:
    rank = len(call.shapes[1])
    places = call.add("Transpose", call.inputs[1], perm=[*range(1, rank), 0])
    return call.add("GatherND", call.inputs[0], call.add("Cast", places, to=TensorProto.INT64))


@operator("one_hot")
def one_hot(call: Call) -> str:
    off_on = np.array([call.get("off_value", 0.0), call.get("on_value", 1.0)], dtype=np.float32)
    places = call.add("Cast", call.inputs[0], to=TensorProto.INT64)
    return call.add("OneHot", places, ints(call.get("depth")), off_on, axis=-1)


def _size(call: Call, value: str, axis: int) -> Any:
    """The length of an axis in the running graph, as (1,) int64."""
    if call.graph.batch is not None and axis == 0:
        return ints(call.graph.batch)
    return call.add("Gather", call.add("Shape", value), ints(axis), axis=0)


@operator("_contrib_arange_like")
def arange_like(call: Call) -> str:
    axis = call.get("axis")
    if axis is None or (call.get("start", 0), call.get("step", 1), call.get("repeat", 1)) != (0, 1, 1):
        raise call.refuse("but as numbers from 0 along an axis")
    if call.graph.batch is not None and axis == 0:
        return call.graph.constant(np.arange(call.graph.batch, dtype=np.float32), call.name)
    place, zero, one = (np.array(value, dtype=np.int64) for value in (axis, 0, 1))
    count = call.add("Gather", call.add("Shape", call.inputs[0]), place, axis=0)
    return call.add("Cast", call.add("Range", zero, count, one), to=TensorProto.FLOAT)


@operator("broadcast_like")
def broadcast_like(call: Call) -> str:
    left, right = call.get("lhs_axes"), call.get("rhs_axes")
    if left is None:
        left = right = tuple(range(len(call.shapes[0])))
    sizes: list[Any] = [ints(1)] * len(call.shapes[0])
    for ours, theirs in zip(left, right):
        sizes[ours] = _size(call, call.inputs[1], theirs)
    return call.add("Expand", call.inputs[0], call.add("Concat", *sizes, axis=0))


@operator("_contrib_MultiBoxDetection")
def multi_box_detection(call: Call) -> str:
    """Rows (N, K, 6) of class, score and box, class -1 where a box is dropped.

    In the order of the boxes: MXNet sorts its rows by score, which what reads them does once more. Each box
    must have one class with a score, against an anchor that is the whole image, as
    `gluon_ssd.postprocess` calls it.
    """
    if call.get("variances") != (1, 1, 1, 1) or call.get("clip", True) or call.get("nms_topk", -1) > 0:
        raise call.refuse("but as gluon_ssd.postprocess calls it")
    scores = call.add("Slice", call.inputs[0], ints(1), ints(np.iinfo(np.int64).max), ints(1))
    boxes = _decoded(call)
    kept = _suppressed(call, boxes, scores)
    best = call.add("ReduceMax", scores, axes=[1], keepdims=0)
    # The number of the one class whose score is not zero; OpenVINO would sort the scores for an ArgMax.
    classes = np.arange(call.shapes[0][1] - 1, dtype=np.float32)[:, None]
    names = call.add("ReduceMax", call.add("Mul", call.add("Sign", scores), classes), axes=[1], keepdims=0)
    # -1 where nothing is kept: (class + 1) * kept - 1.
    names = call.add("Sub", call.add("Mul", call.add("Add", names, number(1)), kept), number(1))
    columns = [call.add("Unsqueeze", column, ints(2)) for column in (names, best)]
    return call.add("Concat", *columns, boxes, axis=2)


def _decoded(call: Call) -> str:
    """(N, K, 4) ltrb of deltas against the whole image."""
    deltas = call.add("Reshape", call.inputs[1], ints(0, -1, 4))
    centre = call.add("Add", call.add("Slice", deltas, ints(0), ints(2), ints(2)), number(0.5))
    half = call.add("Mul", call.add("Exp", call.add("Slice", deltas, ints(2), ints(4), ints(2))), number(0.5))
    return call.add("Concat", call.add("Sub", centre, half), call.add("Add", centre, half), axis=2)


def _suppressed(call: Call, boxes: str, scores: str) -> str:
    """(N, K) 1 for the boxes that non-maximum suppression keeps."""
    # ONNX drops a box above the threshold, MXNet one that reaches it.
    overlap = np.nextafter(np.float32(call.get("nms_threshold", 0.5)), np.float32(0))
    most = ints(call.shapes[1][1] // 4)
    limits = (np.array([overlap], np.float32), np.array([call.get("threshold", 0.01)], np.float32))
    found = call.add("NonMaxSuppression", boxes, scores, most, *limits)
    places = call.add("Gather", found, ints(0, 2), axis=1)
    best = call.add("ReduceMax", scores, axes=[1], keepdims=0)
    nothing = call.add("Mul", best, number(0))
    one = np.ones(1, dtype=np.float32)
    ones = call.add("Expand", one, call.add("Slice", call.add("Shape", places), ints(0), ints(1)))
    return call.add("ScatterND", nothing, places, ones)
