"""An SSD held against the vectors of torchvision's: names, outputs, default boxes, detections."""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np
from golden import load_golden, relative_error

from gluon_ssd.convert import to_torch_state

# The vectors are of as many classes as torchvision has channels, without the background.
CLASSES = [f"class {number}" for number in range(1, 91)]


def outputs_of(net: Any) -> Any:
    """What ``net`` makes of the image that the vectors were made with."""
    return net(mx.nd.array(np.random.RandomState(6).standard_normal((1, 3, *net.input_size))))


def check_outputs(net: Any, outputs: Any, vectors: str) -> None:
    golden = load_golden(vectors)
    names = [name for name in golden["names"] if not name.endswith("num_batches_tracked")]
    assert sorted(to_torch_state(net)) == names
    for key, found in zip(("cls_logits", "bbox_regression"), outputs):
        assert relative_error(golden, key, found.asnumpy()) < 1e-5


def check_boxes(net: Any, vectors: str, count: int, every: int) -> None:
    """``every``: of so many default boxes the vectors have one."""
    side, ours = net.input_size[0], net.anchors(*net.input_size)
    assert len(ours) == count
    np.testing.assert_allclose(ours[::every], load_golden(vectors)["anchors"], atol=side * 1e-5)


def check_detections(net: Any, outputs: Any, vectors: str, **settings: Any) -> None:
    """With torchvision's ``settings``; boxes are cut off at the edges."""
    side, golden = net.input_size[0], load_golden(vectors)
    found = net.postprocess(**settings)
    found.initialize()
    class_ids, scores, boxes = (array.asnumpy()[0] for array in found(*outputs))
    np.testing.assert_array_equal(class_ids + 1, golden["det_labels"])
    np.testing.assert_allclose(scores, golden["det_scores"], atol=1e-5)
    np.testing.assert_allclose(boxes * side, golden["det_boxes"], atol=side * 1e-5)
    assert boxes.min() > -1e-6 and boxes.max() < 1 + 1e-6
