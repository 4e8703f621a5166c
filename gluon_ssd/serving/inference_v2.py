"""The inference protocol of KServe and Triton, version 2: tensors as JSON, or as binary data behind the JSON.

The input ``images`` is a tensor of N encoded images, datatype BYTES. Where at most D objects are found on
one of them, the outputs are ``count`` (N), ``boxes`` (N, D, 4), ``scores`` (N, D) and ``class_ids`` (N, D),
filled up with zeros, and class ids with -1.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..detections import Detections
from ..version import __version__
from .pictures import Upload
from .requests import check_threshold
from .settings import Settings

# The header of a message with binary data: how many bytes of it are JSON.
HEADER = "Inference-Header-Content-Length"
_VERSION = "1"
SERVER = {"name": "gluon_ssd", "version": __version__, "extensions": ["binary_tensor_data"]}
# By name: datatype and shape, in which -1 is any number.
_OUTPUTS: dict[str, tuple[str, list[int]]] = {
    "count": ("INT64", [-1]),
    "boxes": ("FP32", [-1, -1, 4]),
    "scores": ("FP32", [-1, -1]),
    "class_ids": ("INT64", [-1, -1]),
}


class Inference(NamedTuple):
    """A request: its images, its threshold if it has one, by output whether it is binary, and its id."""

    uploads: list[Upload]
    threshold: float | None
    outputs: dict[str, bool]
    request_id: str | None


def describe(name: str) -> dict[str, Any]:
    """Returns what the protocol tells of a model."""
    outputs = [{"name": one, "datatype": kind, "shape": shape} for one, (kind, shape) in _OUTPUTS.items()]
    inputs = [{"name": "images", "datatype": "BYTES", "shape": [-1]}]
    known = {"name": name, "versions": [_VERSION], "platform": "gluon_ssd"}
    return {**known, "inputs": inputs, "outputs": outputs}


def read_inference(body: bytes, json_length: str | None, lowest: float, settings: Settings) -> Inference:
    """Returns what the body of a request asks for. ``json_length`` is its `HEADER`, None without binary data.

    Raises HTTPException 400 for what does not follow the protocol, and 413 for too many images.
    """
    length = len(body) if json_length is None else _number(json_length)
    try:
        asked = json.loads(body[:length])
    except (ValueError, RecursionError):
        raise HTTPException(400, f"the body, or its part that {HEADER} tells, is not JSON") from None
    _expect(isinstance(asked, dict), "the body is not a JSON object")
    parameters = _parameters(asked)
    given = parameters.get("score_threshold")
    threshold = None if given is None else check_threshold(str(given), lowest)
    images = _images(asked.get("inputs"), body[length:], settings.max_images)
    uploads = [Upload(f"images[{number}]", image) for number, image in enumerate(images)]
    identity = asked.get("id")
    outputs = _outputs(asked.get("outputs"), parameters.get("binary_data_output") is True)
    return Inference(uploads, threshold, outputs, identity if isinstance(identity, str) else None)


def _images(inputs: Any, binary: bytes, most: int) -> list[bytes]:
    """Returns the encoded images of the tensor ``images``, the only one there is."""
    _expect(
        isinstance(inputs, list)
        and len(inputs) == 1
        and isinstance(inputs[0], dict)
        and (inputs[0].get("name"), inputs[0].get("datatype")) == ("images", "BYTES"),
        "there is one input, 'images', of datatype BYTES, which holds encoded images",
    )
    (tensor,) = inputs
    shape, size = tensor.get("shape"), _parameters(tensor).get("binary_data_size")
    # Two at most, (N, 1), because some clients have a dimension for batches.
    sizes = isinstance(shape, list) and 1 <= len(shape) <= 2 and all(type(n) is int and n >= 0 for n in shape)
    _expect(sizes, "images: the shape is the number of images")
    if size is not None:
        _expect(size == len(binary), f"images: binary_data_size is not {len(binary)}, the size of what came")
        images = _split(binary, most)
    else:
        images = _decode(tensor.get("data"))
    if len(images) > most:
        raise HTTPException(413, f"a request has at most {most} images")
    _expect(math.prod(shape) == len(images) > 0, f"images: the shape does not fit {len(images)} images")
    return images


def _split(binary: bytes, most: int) -> list[bytes]:
    """Returns the elements of a binary tensor of BYTES, and after more than ``most`` no others.

    Each has its length in front, in four bytes.
    """
    found: list[bytes] = []
    start = 0
    while start < len(binary) and len(found) <= most:
        end = start + 4 + int.from_bytes(binary[start : start + 4], "little")
        _expect(end <= len(binary), "images: the binary data end amid an image")
        found.append(binary[start + 4 : end])
        start = end
    return found


def _decode(data: Any) -> list[bytes]:
    """Returns the images of a tensor that is JSON, each in base64, in one list or in a list for each row."""
    rows = data if isinstance(data, list) else [None]
    texts: list[Any] = [text for row in rows for text in (row if isinstance(row, list) else [row])]
    try:
        return [base64.b64decode(text.encode("ascii"), validate=True) for text in texts]
    except (AttributeError, UnicodeEncodeError, binascii.Error):
        raise HTTPException(400, "images: each one is a string in base64, or binary data") from None


def _outputs(asked: Any, binary: bool) -> dict[str, bool]:
    """Returns by name which outputs are wanted, and whether as binary data; unless some are named, all."""
    if not asked:
        return dict.fromkeys(_OUTPUTS, binary)
    names = list(_OUTPUTS)
    listed = isinstance(asked, list) and all(isinstance(one, dict) for one in asked)
    _expect(listed and all(one.get("name") in names for one in asked), f"outputs are {', '.join(names)}")
    return {one["name"]: _parameters(one).get("binary_data", binary) is True for one in asked}


def answer_inference(asked: Inference, name: str, found: Sequence[Detections]) -> Response:
    """Returns the answer to a request: what was found on each of its images."""
    arrays = _arrays(found)
    outputs, binary = [], []
    for output, as_binary in asked.outputs.items():
        array, (datatype, _) = arrays[output], _OUTPUTS[output]
        described: dict[str, Any] = {"name": output, "datatype": datatype, "shape": list(array.shape)}
        if as_binary:
            binary.append(array.tobytes())
            described["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            described["data"] = array.ravel().tolist()
        outputs.append(described)
    content: dict[str, Any] = {"model_name": name, "model_version": _VERSION, "outputs": outputs}
    if asked.request_id is not None:
        content["id"] = asked.request_id
    # In ASCII, because the id of a request need not be text that UTF-8 can hold.
    head = json.dumps(content).encode("ascii")
    if not binary:
        return Response(head, media_type="application/json")
    headers = {HEADER: str(len(head))}
    return Response(head + b"".join(binary), media_type="application/octet-stream", headers=headers)


def _arrays(found: Sequence[Detections]) -> dict[str, np.ndarray]:
    """Returns the outputs, little-endian as the protocol has them."""
    counts = np.array([len(one) for one in found], "<i8")
    boxes = np.zeros((len(found), counts.max(), 4), "<f4")
    scores, class_ids = boxes[..., 0].copy(), np.full(boxes.shape[:2], -1, "<i8")
    for row, one in enumerate(found):
        places = (row, slice(len(one)))
        boxes[places], scores[places], class_ids[places] = one.xyxy, one.scores, one.class_ids
    return {"count": counts, "boxes": boxes, "scores": scores, "class_ids": class_ids}


def _parameters(holder: dict[str, Any]) -> dict[str, Any]:
    found = holder.get("parameters", {})
    _expect(isinstance(found, dict), "parameters are a JSON object")
    return dict(found)


def _number(text: str) -> int:
    _expect(text.isascii() and text.isdigit() and len(text) < 12, f"{HEADER}: not a number of bytes")
    return int(text)


def _expect(condition: bool, words: str) -> None:
    if not condition:
        raise HTTPException(400, words)
