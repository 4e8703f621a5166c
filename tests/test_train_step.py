import mxnet as mx
import numpy as np
import pytest
from golden import load_golden, padded, seeded, seeded_weights

from gluon_ssd import get_model
from gluon_ssd.convert import load_torch_state, to_torch_state
from gluon_ssd.engine.step import TrainStep


def gradients(net):
    """Gradients under the reference's names."""
    params, found = net.collect_params(), {}
    for entry in net.reference_names():
        if params[entry.name].grad_req != "null":
            found.update(zip(entry.sources, entry.split(params[entry.name].grad().asnumpy())))
    return found


def test_five_steps_are_the_references():
    golden = load_golden("ssd300_resnet34_mlperf_train5")
    net = get_model("ssd_resnet34")
    load_torch_state(net, seeded_weights("ssd300_resnet34_mlperf"))
    step, encode, losses = TrainStep(net, net.loss()), net.target_encoder(), []
    for number in range(5):
        images = mx.nd.array(seeded.image_input(1000 + number, (4, 3, 300, 300)))
        targets = encode(*padded(seeded.ssd_gt(1100 + number, [1, 3, 5, 7])))
        losses.append(float(step(images, [mx.nd.array(target) for target in targets], lr=1e-3)[0].asscalar()))
        if number == 0:
            first = gradients(net)
    np.testing.assert_allclose(losses, golden["loss64"], rtol=5e-5)
    norm = np.sqrt(sum((gradient.astype(np.float64) ** 2).sum() for gradient in first.values()))
    assert norm == pytest.approx(golden["gradnorm64"].item(), rel=1e-5)
    state, compared = to_torch_state(net), 0
    for name in map(str, golden["picked"]):
        places, largest = golden[f"index:{name}"], np.abs(state[name]).max()
        after = state[name].ravel()[places]
        np.testing.assert_allclose(after, golden[f"after:{name}"], rtol=0, atol=3e-4 * largest, err_msg=name)
        if name in first:
            wanted = golden[f"grad:{name}"]
            ours, compared = first[name].ravel()[places], compared + 1
            np.testing.assert_allclose(ours, wanted, rtol=0, atol=2e-3 * np.abs(wanted).max(), err_msg=name)
    assert compared == 16


def tiny_batch(images=4, **options):
    net = get_model("ssd_tiny", classes=["a", "b"], **options)
    objects = [(boxes, np.minimum(labels, 2)) for boxes, labels in seeded.ssd_gt(5, [2] * images)]
    targets = [mx.nd.array(target) for target in net.target_encoder()(*padded(objects))]
    return net, mx.nd.array(seeded.image_input(3, (images, 3, 192, 192))), targets


def without_norm_statistics(net):
    """Batch norm as constants, so that what a batch gives does not depend on how it is cut."""
    for block in net.backbone, net.extras:
        block.apply(
            lambda layer: layer._kwargs.update(use_global_stats=True) if hasattr(layer, "gamma") else None
        )
    return net


def test_accumulating_two_batches_equals_one_batch_of_both():
    results = []
    for accumulate in (1, 2):
        mx.random.seed(0)
        net, images, targets = tiny_batch()
        step = TrainStep(without_norm_statistics(net), net.loss(), accumulate=accumulate)
        for _ in range(3):
            size = 4 // accumulate
            for start in range(0, 4, size):
                part = slice(start, start + size)
                step(images[part], [target[part] for target in targets], lr=0.01)
        results.append({name: param.data().asnumpy() for name, param in net.collect_params().items()})
    for name, value in results[0].items():
        np.testing.assert_allclose(
            results[1][name], value, atol=1e-5 * np.abs(value).max() + 1e-7, err_msg=name
        )


def test_hybridised_and_plain_steps_agree():
    losses = []
    for hybridize in (True, False):
        mx.random.seed(0)
        net, images, targets = tiny_batch()
        step = TrainStep(net, net.loss(), hybridize=hybridize)
        losses.append([float(step(images, targets, lr=0.01)[0].asscalar()) for _ in range(3)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert losses[0][2] < losses[0][0]
