import mxnet as mx
import numpy as np
import pytest
from golden import load_golden, padded, seeded, seeded_weights
from tiny_batch import tiny_batch

from gluon_ssd import get_model
from gluon_ssd.convert import load_torch_state, to_torch_state
from gluon_ssd.training.distributed import World
from gluon_ssd.training.loss_scale import LossScale
from gluon_ssd.training.step import PublishedAdam, TrainStep

pytestmark = pytest.mark.once


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


def values_per_norm(name, batch=4):
    """How many values each channel of a norm of DeepLearningExamples' SSD sees, by the norm's name."""
    family, block, place = name.split(".")[:3]
    if family == "additional_blocks":
        side = (38, 19, 10, 5, 3, 1)[int(block) + (place == "4")]
    else:
        # The first norm of a stage that halves the map comes before its stride.
        side = 75 if ".5.0.bn1." in name else {"1": 150, "4": 75, "5": 38, "6": 38}[place]
    return batch * side * side


def test_five_steps_of_deep_learning_examples_are_the_references():
    """Every tensor is as near to float64 as the reference in float32; noise differs from run to run."""
    golden = load_golden("ssd300_resnet50_dle_train5")
    net, start = get_model("ssd_resnet50"), seeded_weights("ssd300_resnet50_dle")
    load_torch_state(net, start)
    step, losses = TrainStep(net, net.loss(), decay_norms=False), []
    encode = net.target_encoder()
    for number in range(5):
        images = mx.nd.array(seeded.image_input(3000 + number, (4, 3, 300, 300)))
        targets = [mx.nd.array(t) for t in encode(*padded(seeded.ssd_gt(3100 + number, [1, 3, 5, 7])))]
        losses.append(float(step(images, targets, lr=1e-3)[0].asscalar()))
    rounding = np.abs(golden["loss32"] / golden["loss"] - 1).max()
    np.testing.assert_allclose(losses, golden["loss"], rtol=2 * rounding)
    state, shares = to_torch_state(net), []
    columns = (golden[key] for key in ("name", "index", "after", "absmax", "noise"))
    for name, index, after, absmax, noise in zip(*columns):
        ours = state[name].ravel()[index].astype(np.float64)
        if name.endswith("running_var"):
            # MXNet's is of n values on a CPU, PyTorch's of n - 1.
            count, kept = values_per_norm(name), 0.9**5 * start[name].ravel()[index]
            ours = kept + (ours - kept) * count / (count - 1)
        shares.append(np.abs(ours - after).max() / absmax / noise)
        assert shares[-1] < 4, name
    assert np.median(shares) < 1


def test_five_steps_of_retinanet_are_the_references():
    golden = load_golden("retinanet_resnext50_train5")
    net = get_model("retinanet_resnext50_32x4d", input_size=(256, 256))
    load_torch_state(net, seeded_weights("retinanet_resnext50"))
    step, losses = TrainStep(net, net.loss(), optimizer="adam", weight_decay=0), []
    encode = net.target_encoder((256, 256))
    for number in range(5):
        images = mx.nd.array(seeded.image_input(2000 + number, (2, 3, 256, 256)))
        targets = [mx.nd.array(t) for t in encode(*padded(seeded.ssd_gt(2100 + number, [2, 5])))]
        losses.append([float(loss.asscalar()) for loss in step(images, targets, lr=1e-4)])
    np.testing.assert_allclose([row[1] for row in losses], golden["cls"], rtol=1e-4)
    np.testing.assert_allclose([row[2] for row in losses], golden["box"], rtol=1e-4)
    state = to_torch_state(net)
    names = [key[len("after:") :] for key in golden.files if key.startswith("after:")]
    assert len(names) > 70
    for name in names:
        after = state[name].ravel()[golden[f"index:{name}"]]
        atol = 3e-4 * float(golden[f"absmax:{name}"])
        np.testing.assert_allclose(after, golden[f"after:{name}"], rtol=0, atol=atol, err_msg=name)


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


def torch_adam(weight, gradients, lr, decay, epsilon=1e-8):
    """PyTorch's documented rule in float64."""
    first = second = 0
    for step, gradient in enumerate(gradients, 1):
        gradient = gradient + decay * weight
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = np.sqrt(second / (1 - 0.999**step)) + epsilon
        weight = weight - lr * first / (1 - 0.9**step) / corrected
    return weight


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("resumed", [False, True])
def test_adam_adds_epsilon_after_the_bias_correction(dtype, resumed):
    """Small gradients tell: with MXNet's own rule the first update is a tenth too small."""
    random = np.random.RandomState(0)
    start = random.normal(size=6).astype(dtype)
    gradients = random.uniform(0.5, 2, (4, 6)).astype(dtype) * np.dtype(dtype).type(2.0**-20)
    scale, optimizer = 2.0**12, PublishedAdam(learning_rate=0.01, wd=1e-7, multi_precision=True)
    optimizer.rescale_grad = 1 / scale
    weight = mx.nd.array(start, dtype=dtype)
    state = optimizer.create_state_multi_precision(0, weight)
    for number, gradient in enumerate(gradients):
        if resumed and number == 2:
            # As `restore_optimizer` does: only the arrays and the counts are kept.
            optimizer, counts = PublishedAdam(learning_rate=0.01, wd=1e-7, multi_precision=True), optimizer
            optimizer.rescale_grad = 1 / scale
            optimizer._index_update_count.update(counts._index_update_count)
        scaled = mx.nd.array(gradient.astype(np.float64) * scale, dtype=dtype)
        optimizer.update_multi_precision(0, weight, scaled, state)
    exact = torch_adam(start.astype(np.float64), gradients.astype(np.float64), 0.01, 1e-7)
    master = state[0] if dtype == "float16" else weight
    moved, wanted = master.asnumpy() - start, exact - start
    np.testing.assert_allclose(moved, wanted, rtol=1e-4)


def test_predivided_gradients_sum_within_float16_to_the_same_mean():
    class Ranks(World):
        """Four ranks that all have this one's gradients, summed as Horovod does in the arrays' own type."""

        size = 4

        def allreduce(self, arrays, names, compression="none", groups=0):
            largest.append(max(float(abs(array).max().asscalar()) for array in arrays))
            for array in arrays:
                array *= self.size

        def every(self, flag):
            return flag

    results, largest = [], []
    for predivide in (1.0, 4.0):
        mx.random.seed(0)
        net, images, targets = tiny_batch()
        step = TrainStep(net, net.loss(), world=Ranks(), predivide=predivide, scale=LossScale(64.0))
        step(images, targets, lr=0.01)
        results.append({name: param.data().asnumpy() for name, param in net.collect_params().items()})
    for name, value in results[0].items():
        np.testing.assert_array_equal(results[1][name], value, err_msg=name)
    assert largest[0] == 4 * largest[1]


def test_norms_that_write_their_gradients_whatever_is_asked_accumulate_too():
    """NVIDIA's norm does not know grad_req "add": nothing here may ask for it."""
    net, images, targets = tiny_batch()
    step = TrainStep(net, net.loss(), accumulate=3)
    for _ in range(3):
        step(images, targets, lr=0.01)
    assert {param.grad_req for param in net.collect_params().values()} <= {"write", "null"}
