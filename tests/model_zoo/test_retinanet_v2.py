"""torchvision's second RetinaNet: outputs, anchors, detections, losses and gradients equal its own."""

import mxnet as mx
import numpy as np
import pytest
from golden import load_golden, padded, relative_error, seeded
from mxnet import autograd

from gluon_ssd import get_model
from gluon_ssd.convert import load_torch_state, to_torch_state

pytestmark = pytest.mark.once

GOLDEN = load_golden("torchvision_retinanet_resnet50_v2")
CHANNELS = [f"category {number}" for number in range(91)]
SIZE = (256, 256)


def network(**options):
    net = get_model("retinanet_resnet50_v2", CHANNELS, **options)
    shapes = {name: value.shape for name, value in to_torch_state(net).items()}
    load_torch_state(net, seeded.retina_v2_state(shapes, 9))
    return net


@pytest.fixture(scope="module")
def net():
    net = network(trainable_layers=5)
    net.hybridize()
    return net


@pytest.fixture(scope="module")
def outputs(net):
    return net(mx.nd.array(seeded.image_input(7, (1, 3, *SIZE))))


def parts_of_loss(net, predictions, size, seed, counts):
    targets = net.target_encoder(size)(*padded(seeded.ssd_gt(seed, counts)))
    # The vectors number the classes from 0 and the objects from 1.
    targets[0][targets[0] > 0] += 1
    return net.loss()(*predictions, *map(mx.nd.array, targets))[1:]


def test_names_and_outputs_are_torchvisions(net, outputs):
    names = [name for name in GOLDEN["names"] if not name.endswith("num_batches_tracked")]
    assert sorted(to_torch_state(net)) == names
    for key, found in zip(("cls_logits", "bbox_regression"), outputs):
        assert relative_error(GOLDEN, key, found.asnumpy()) < 1e-5


def test_as_many_parameters_as_torchvision_states(net):
    state = to_torch_state(net)
    assert sum(value.size for name, value in state.items() if "running" not in name) == 38198935


@pytest.mark.parametrize(("dtype", "share"), [("float32", 1e-5), ("float16", 1e-2)])
def test_outputs_in_the_other_layout(dtype, share):
    net = network(layout="NHWC", dtype=dtype)
    outputs = net(net.arrange(mx.nd.array(seeded.image_input(7, (1, 3, *SIZE)))))
    for key, found in zip(("cls_logits", "bbox_regression"), outputs):
        assert relative_error(GOLDEN, key, found.asnumpy()) < share


def test_anchors_are_torchvisions(net):
    np.testing.assert_array_equal(net.anchors(*SIZE)[::50], GOLDEN["anchors"])


def test_detections_are_torchvisions(net, outputs):
    block = net.postprocess(SIZE, score_threshold=0.98)
    block.initialize()
    class_ids, scores, boxes = (array.asnumpy()[0] for array in block(*outputs))
    count = len(GOLDEN["det_labels"])
    assert (class_ids >= 0).sum() == count
    np.testing.assert_array_equal(class_ids[:count], GOLDEN["det_labels"])
    np.testing.assert_allclose(scores[:count], GOLDEN["det_scores"], atol=1e-5)
    np.testing.assert_allclose(boxes[:count] * 256, GOLDEN["det_boxes"], atol=256 * 1e-5)


def test_losses_are_torchvisions_by_generalised_iou(net):
    predictions = [mx.nd.array(array) for array in seeded.retina_loss_preds(11, 3, 12276, 91)]
    predictions[1].attach_grad()
    with autograd.record():
        losses = parts_of_loss(net, predictions, SIZE, 12, [5, 2, 0])
    losses[1].backward()
    np.testing.assert_allclose([float(loss.asscalar()) for loss in losses], GOLDEN["loss"], rtol=1e-5)
    gradient, index = predictions[1].grad.asnumpy().ravel(), GOLDEN["box_grad_index"]
    np.testing.assert_allclose(gradient[index], GOLDEN["box_grad"], atol=1e-5 * np.abs(gradient).max())
    gradient[index] = 0
    assert not gradient.any()


def test_a_training_step_has_torchvisions_gradients(net):
    with autograd.record():
        predictions = net(mx.nd.array(seeded.image_input(8, (2, 3, 128, 128))))
        losses = parts_of_loss(net, predictions, (128, 128), 13, [3, 1])
        total = losses[0] + losses[1]
    total.backward()
    np.testing.assert_allclose([float(loss.asscalar()) for loss in losses], GOLDEN["step_loss"], rtol=1e-4)
    entries = {name: entry for entry in net.reference_names() for name in entry.sources}
    parameters, compared = net.collect_params(), 0
    for key in GOLDEN.files:
        if key.startswith("step_grad:"):
            name = key.split(":")[1]
            found = parameters[entries[name].name].grad().asnumpy().ravel()[GOLDEN[f"step_index:{name}"]]
            wanted = GOLDEN[key]
            # Where rounding takes one of many ReLUs to its other side, a thousandth of the gradient changes:
            # torchvision's own in float32 as well.
            share = 0.01 + float(GOLDEN[f"step_noise:{name}"])
            np.testing.assert_allclose(found, wanted, atol=share * np.abs(wanted).max(), err_msg=name)
            compared += 1
    assert compared == 8
