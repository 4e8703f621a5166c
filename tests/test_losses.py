import mxnet as mx
import numpy as np
import pytest
from golden import load_golden, padded, permutation, seeded
from mxnet import autograd

from gluon_ssd.anchors import SSD300_COCO
from gluon_ssd.losses import MultiBoxLoss
from gluon_ssd.targets import SSDTargetEncoder


def loss_of(*arrays, hybridize=False):
    block = MultiBoxLoss()
    block.hybridize(hybridize)
    return [float(part.asscalar()) for part in block(*(mx.nd.array(array) for array in arrays))]


@pytest.fixture(scope="module")
def reference():
    golden = load_golden("ssd_encode_loss")
    boxes, labels = padded([(golden[f"gt_boxes{i}"], golden[f"gt_labels{i}"]) for i in range(6)])
    deltas, logits = seeded.ssd_loss_preds(int(golden["loss_pred_seed"]), 6)
    order = permutation()
    inputs = logits.transpose(0, 2, 1)[:, order], deltas.transpose(0, 2, 1)[:, order]
    return golden, inputs + SSDTargetEncoder(SSD300_COCO.xywh())(boxes, labels)


@pytest.mark.parametrize("hybridize", [False, True])
def test_the_loss_is_the_references(reference, hybridize):
    golden, inputs = reference
    loss, cls_loss, box_loss = loss_of(*inputs, hybridize=hybridize)
    assert loss == pytest.approx(float(golden["loss64"]), rel=1e-5)
    assert cls_loss == pytest.approx(golden["conf_loss_per_image"].mean(), rel=1e-5)
    assert cls_loss + box_loss == pytest.approx(loss, rel=1e-6)


def test_each_image_counts_for_itself_and_an_empty_one_for_nothing(reference):
    golden, inputs = reference
    for image in range(6):
        loss = loss_of(*(array[image : image + 1] for array in inputs))[0]
        assert loss == pytest.approx(golden["loss_per_image"][image], rel=1e-5)
    assert golden["loss_per_image"][2] == 0


def small_case(seed=0):
    """Two images of 40 boxes, 3 classes: one with 3 positives, one without."""
    random = np.random.RandomState(seed)
    cls_targets = np.zeros((2, 40), np.float32)
    cls_targets[0, [3, 7, 20]] = 1, 3, 2
    box_targets = random.normal(0, 1, (2, 40, 4)).astype(np.float32) * (cls_targets > 0)[..., None]
    preds = (
        random.normal(0, 2, (2, 40, 4)).astype(np.float32),
        random.normal(0, 1, (2, 40, 4)).astype(np.float32),
    )
    return preds + (cls_targets, box_targets)


def by_hand(cls_preds, box_preds, cls_targets, box_targets):
    """The loss by sorting and looping, in float64."""
    total = 0.0
    for logits, deltas, labels, wanted in zip(cls_preds, box_preds, cls_targets.astype(int), box_targets):
        shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
        log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        entropy = -log_probability[np.arange(len(labels)), labels]
        positive = labels > 0
        if not positive.any():
            continue
        hardest = np.sort(entropy[~positive])[::-1][: 3 * positive.sum()]
        gap = np.abs(deltas - wanted)[positive].astype(np.float64)
        smooth = np.where(gap < 1, gap**2 / 2, gap - 0.5).sum()
        total += (entropy[positive].sum() + hardest.sum() + smooth) / positive.sum()
    return total / len(cls_preds)


def test_the_loss_equals_a_plain_implementation():
    for seed in range(5):
        case = small_case(seed)
        assert loss_of(*case)[0] == pytest.approx(by_hand(*case), rel=1e-5)


def test_ties_among_negatives_count_as_many_as_are_wanted():
    cls_preds, box_preds, cls_targets, box_targets = small_case()
    cls_preds[:] = 0
    cls_loss = loss_of(cls_preds, box_preds, cls_targets, box_targets)[1]
    assert cls_loss == pytest.approx(4 * np.log(4) / 2, rel=1e-5)


def test_more_positives_than_a_quarter_use_all_negatives():
    cls_preds, box_preds, cls_targets, box_targets = small_case()
    cls_targets[0, :30] = 1
    case = cls_preds, box_preds, cls_targets, box_targets
    assert loss_of(*case)[0] == pytest.approx(by_hand(*case), rel=1e-5)


def test_gradients_are_finite_differences():
    cls_preds, box_preds, cls_targets, box_targets = small_case()
    arrays = [mx.nd.array(array) for array in (cls_preds, box_preds, cls_targets, box_targets)]
    for array in arrays[:2]:
        array.attach_grad()
    with autograd.record():
        loss = MultiBoxLoss()(*arrays)[0]
    loss.backward()
    random = np.random.RandomState(3)
    for which in (0, 1):
        gradient = arrays[which].grad.asnumpy()
        for place in [tuple(random.randint(size) for size in gradient.shape) for _ in range(40)]:
            values = []
            for sign in (1, -1):
                case = [cls_preds.astype(np.float64), box_preds.astype(np.float64), cls_targets, box_targets]
                case[which][place] += sign * 1e-5
                values.append(by_hand(*case))
            assert gradient[place] == pytest.approx((values[0] - values[1]) / 2e-5, abs=2e-4)


@pytest.mark.parametrize("which", [0, 1])
def test_a_nan_in_the_predictions_reaches_the_loss(which):
    case = small_case()
    case[which][0, 7] = np.nan
    assert np.isnan(loss_of(*case)[0])


def test_a_batch_without_any_object_has_loss_and_gradient_zero():
    cls_preds, box_preds, cls_targets, box_targets = small_case()
    arrays = [mx.nd.array(array) for array in (cls_preds, box_preds, cls_targets * 0, box_targets * 0)]
    arrays[0].attach_grad()
    with autograd.record():
        loss = MultiBoxLoss()(*arrays)[0]
    loss.backward()
    assert float(loss.asscalar()) == 0 and not arrays[0].grad.asnumpy().any()
