"""Networks, training steps and images on this device against the references' numbers."""

import mxnet as mx
import numpy as np
import pytest
from golden import load_golden, padded, relative_error, seeded, seeded_weights, to_size_major

from gluon_ssd import get_model
from gluon_ssd.convert import load_torch_state, to_torch_state
from gluon_ssd.nn import compute_precision
from gluon_ssd.training.step import TrainStep

from .conftest import WAYS

NETWORKS = {
    "ssd300_resnet34_mlperf": ("ssd_resnet34", {}, (2, 3, 300, 300)),
    "ssd300_resnet50_dle": ("ssd_resnet50", {}, (2, 3, 300, 300)),
    "retinanet_resnext50": ("retinanet_resnext50_32x4d", {"input_size": (256, 256)}, (1, 3, 256, 256)),
}


def build(name, reference, device, way, **options):
    more, mixed, tolerance = WAYS[way]
    net = get_model(name, ctx=device, **options, **more)
    load_torch_state(net, seeded_weights(reference))
    if mixed:
        compute_precision(net, "float16" if device.device_type == "gpu" else "bfloat16")
    return net, tolerance


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reference", NETWORKS)
def test_outputs(device, reference, way):
    name, options, shape = NETWORKS[reference]
    net, tolerance = build(name, reference, device, way, **options)
    images = mx.nd.array(seeded.image_input(7, shape), ctx=device)
    cls_preds, box_preds = (array.asnumpy() for array in net(net.arrange(images)))
    golden = load_golden(f"{reference}_outputs")
    if name.startswith("retinanet"):
        found = {"cls_logits": cls_preds, "bbox_regression": box_preds}
    else:
        found = {
            "conf": to_size_major(cls_preds, 1).transpose(0, 2, 1),
            "loc": to_size_major(box_preds, 1).transpose(0, 2, 1),
        }
    for key, value in found.items():
        error = relative_error(golden, key, value)
        print(f"{reference} {way} {key}: {error:.2e} of the largest")
        assert error < tolerance


def five_steps(device, net, seed, shape, counts, *, lr, **options):
    """Trains ``net`` on ``device`` as the references did; returns the losses and their parts, row by row."""
    step, encode = TrainStep(net, net.loss(), **options), net.target_encoder(shape[2:])
    losses = []
    for number in range(5):
        images = mx.nd.array(seeded.image_input(seed + number, shape), ctx=device)
        targets = encode(*padded(seeded.ssd_gt(seed + 100 + number, counts)))
        targets = [mx.nd.array(target, ctx=device) for target in targets]
        losses.append([float(loss.asscalar()) for loss in step(images, targets, lr=lr)])
    print("losses", losses)
    return np.array(losses)


def same_parameters(net, golden):
    """Holds what the steps made of every tensor to a share of its largest value."""
    state = to_torch_state(net)
    names = [key[len("after:") :] for key in golden.files if key.startswith("after:")]
    for name in names:
        after = state[name].ravel()[golden[f"index:{name}"]]
        atol = 3e-3 * np.abs(state[name]).max()
        np.testing.assert_allclose(after, golden[f"after:{name}"], rtol=0, atol=atol, err_msg=name)


# A GPU sums in another order: ReLU and the choice of negatives fall the other way now and then.
def test_five_steps_of_ssd(device):
    golden = load_golden("ssd300_resnet34_mlperf_train5")
    net, _ = build("ssd_resnet34", "ssd300_resnet34_mlperf", device, "fp32")
    losses = five_steps(device, net, 1000, (4, 3, 300, 300), [1, 3, 5, 7], lr=1e-3)
    np.testing.assert_allclose(losses[:, 0], golden["loss64"], rtol=5e-4)
    same_parameters(net, golden)


def test_five_steps_of_retinanet(device):
    golden = load_golden("retinanet_resnext50_train5")
    net, _ = build("retinanet_resnext50_32x4d", "retinanet_resnext50", device, "fp32", input_size=(256, 256))
    options = {"optimizer": "adam", "weight_decay": 0}
    losses = five_steps(device, net, 2000, (2, 3, 256, 256), [2, 5], lr=1e-4, **options)
    np.testing.assert_allclose(losses[:, 1], golden["cls"], rtol=1e-3)
    np.testing.assert_allclose(losses[:, 2], golden["box"], rtol=1e-3)
    same_parameters(net, golden)


def test_images_of_dali_are_those_of_the_native_loader(device, tmp_path):
    pytest.importorskip("nvidia.dali")
    from gluon_ssd.data.opening import open_dataset
    from gluon_ssd.data.pipelines import InputSettings, Target, make_loader
    from gluon_ssd.data.preprocess import Preprocess
    from gluon_ssd.data.shapes import make_shapes
    from gluon_ssd.data.transforms import EvalTransform

    dataset = open_dataset(make_shapes(tmp_path / "data", train=8, val=8, size=(96, 128)), "val")
    batches = {}
    for pipeline in ("native", "dali"):
        target = Target(device.device_type, device.device_id)
        settings = InputSettings(data_pipeline=pipeline)
        with make_loader(dataset, EvalTransform(Preprocess((300, 300))), 8, settings, target) as loader:
            images = next(iter(loader)).images
            batches[pipeline] = images.asnumpy() if isinstance(images, mx.nd.NDArray) else images
    difference = np.abs(batches["native"] - batches["dali"])
    print(f"DALI against native: mean {difference.mean():.4f}, of deviations of the colours")
    assert difference.mean() < 0.05
