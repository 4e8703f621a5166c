from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from golden import load_golden, relative_error, seeded, seeded_weights, to_size_major

from gluon_ssd import UserError, get_model, list_models
from gluon_ssd.convert import load_torch_state, to_torch_state
from gluon_ssd.model_zoo.transfer import transfer

pytestmark = pytest.mark.once

REFERENCES = {
    "ssd_resnet34_bn": "ssd300_resnet34_dle",
    "ssd_resnet50": "ssd300_resnet50_dle",
}
SSDS = [name for name in list_models() if name.startswith("ssd_resnet")]


@pytest.mark.parametrize("model", REFERENCES)
def test_equals_its_reference(model):
    reference = REFERENCES[model]
    net = get_model(model)
    state = seeded_weights(reference)
    load_torch_state(net, state)
    net.hybridize()
    cls_preds, box_preds = net(mx.nd.array(seeded.image_input(7, (2, 3, 300, 300))))
    outputs = load_golden(f"{reference}_outputs")
    for key, value in (("conf", cls_preds), ("loc", box_preds)):
        assert relative_error(outputs, key, to_size_major(value.asnumpy(), axis=1).transpose(0, 2, 1)) < 1e-5

    back = to_torch_state(net)
    assert set(state) - set(back) == {name for name in state if name.endswith("num_batches_tracked")}
    assert all((back[name] == state[name]).all() for name in back)


@pytest.fixture(scope="module")
def large():
    """MLPerf Inference's SSD on 1200x1200, with the weights of the vectors."""
    net = get_model("ssd_resnet34_1200")
    state = to_torch_state(net)
    assert sorted(state) == list(load_golden("mlperf_ssd1200")["names"])
    load_torch_state(net, seeded.seeded_state({name: value.shape for name, value in state.items()}, 1))
    return net


def test_outputs_on_large_images_are_the_references(large):
    golden = load_golden("mlperf_ssd1200")
    outputs = large(mx.nd.array(seeded.image_input(7, (1, 3, 1200, 1200))))
    for key, value in zip(("conf", "loc"), outputs):
        assert relative_error(golden, key, value.asnumpy()) < 1e-5


def test_default_boxes_of_large_images_are_the_references(large):
    boxes = large.default_boxes.xywh()
    assert len(boxes) == 15130 and large.default_boxes.map_sizes == (50, 25, 13, 7, 3, 3)
    np.testing.assert_allclose(boxes[::25], load_golden("mlperf_ssd1200")["boxes_xywh"], atol=1e-7)


def test_detections_in_large_images_are_the_references(large):
    """Those of the reference's code, whose overlap of two boxes apart was set to nothing for the vectors."""
    golden, deltas_and_logits = load_golden("mlperf_ssd1200"), seeded.ssd_decode_preds(11, n_boxes=15130)
    deltas, logits = (large_images_order(large, array) for array in deltas_and_logits)
    found = large.postprocess(candidates=4000)
    found.initialize()
    class_ids, scores, boxes = (array.asnumpy() for array in found(mx.nd.array(logits), mx.nd.array(deltas)))
    for image in range(2):
        np.testing.assert_array_equal(class_ids[image] + 1, golden[f"det{image}_labels"])
        np.testing.assert_allclose(scores[image], golden[f"det{image}_scores"], atol=1e-5)
        np.testing.assert_allclose(boxes[image], golden[f"det{image}_boxes"], atol=1e-5)


def large_images_order(net, array):
    """(N, channels, A) in the reference's order, box of the cell first, as (N, A, channels) in ours."""
    parts, start = [], 0
    for side, boxes in zip(net.default_boxes.map_sizes, net.default_boxes.per_cell):
        stop = start + side * side * boxes
        part = array[:, :, start:stop].reshape(*array.shape[:2], boxes, side * side)
        parts.append(part.transpose(0, 3, 2, 1).reshape(len(array), stop - start, -1))
        start = stop
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize(
    ("model", "tensors", "stage3", "last"),
    [
        ("ssd_resnet18", 149, 256, 128),
        ("ssd_resnet34_bn", 219, 256, 256),
        ("ssd_resnet50", 289, 1024, 256),
        ("ssd_resnet101", 544, 1024, 256),
        ("ssd_resnet152", 799, 1024, 256),
    ],
)
def test_depths_of_deep_learning_examples(model, tensors, stage3, last):
    shapes = {name: array.shape for name, array in to_torch_state(get_model(model)).items()}
    assert len(shapes) == tensors
    assert shapes["conf.0.weight"] == (324, stage3, 3, 3)
    assert shapes["loc.5.weight"] == (16, last, 3, 3)
    assert shapes["additional_blocks.4.3.weight"] == (last, 128, 3, 3)
    assert shapes["additional_blocks.4.4.running_var"] == (last,)


@pytest.mark.parametrize("model", SSDS)
def test_names_do_not_depend_on_what_was_built_before(model):
    assert list(get_model(model).collect_params()) == list(get_model(model).collect_params())


def test_frozen_stages_get_no_gradient_and_the_others_do():
    net = get_model("ssd_tiny", classes=["a"])
    net.freeze(stages=[0, 1])
    frozen = {
        name for name, p in net.collect_params().items() if p.grad_req == "null" and "running" not in name
    }
    assert frozen == {
        name
        for name in net.collect_params()
        if name.startswith(
            ("ssd0_resnetmlperf0_conv", "ssd0_resnetmlperf0_batchnorm", "ssd0_resnetmlperf0_stage1")
        )
        and "running" not in name
    }
    with pytest.raises(UserError, match=r"ssd_tiny has stages 0 \(the first layers\) to 3, got 4"):
        net.freeze(stages=[4])
    with pytest.raises(UserError, match=r"freeze: stages is 1; give a list of numbers, such as \[1\]"):
        net.freeze(stages=1)
    with pytest.raises(UserError, match="to 3, got 's'"):
        net.freeze(stages="stem")


def test_classes_of_the_same_name_are_transferred():
    old = get_model("ssd_tiny", classes=["cat", "dog", "cow"])
    new = get_model("ssd_tiny", classes=["cow", "bird"])
    transfer(new, {name: p.data().asnumpy() for name, p in old.collect_params().items()}, old.classes)
    image = mx.nd.random.normal(shape=(1, 3, 192, 192))
    (old_cls, old_box), (new_cls, new_box) = old(image), new(image)
    np.testing.assert_allclose(new_box.asnumpy(), old_box.asnumpy(), atol=1e-6)
    np.testing.assert_allclose(new_cls.asnumpy()[..., [0, 1]], old_cls.asnumpy()[..., [0, 3]], atol=1e-6)
