"""The detector: pixels, frames of pictures, and agreement of its ways in."""

import io

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from PIL import Image
from small import picture

from gluon_ssd import Detector, get_model, load
from gluon_ssd.data.transforms import EvalTransform
from gluon_ssd.detector import to_pixels
from gluon_ssd.errors import UserError
from gluon_ssd.nn import assign


@pytest.fixture(scope="module")
def detector(small_run):
    return Detector(load(small_run), score_threshold=0.01, max_detections=20)


def same(one, other):
    np.testing.assert_allclose(one.xyxy, other.xyxy, rtol=0, atol=1e-2)
    np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(one.class_ids, other.class_ids)


def test_fractions_become_pixels_inside_the_image():
    class_ids = mx.nd.array([[1, 0, -1], [-1, -1, -1]])
    scores = mx.nd.array([[0.9, 0.5, 0], [0, 0, 0]])
    boxes = mx.nd.array([[[0.1, 0.2, 0.5, 0.75], [-0.5, 0.5, 1.5, 2], [0, 0, 0, 0]], [[0] * 4] * 3])
    first, second = to_pixels((class_ids, scores, boxes), np.array([[100, 200], [7, 9]]))
    np.testing.assert_allclose(first[0], [[20, 20, 100, 75], [0, 50, 200, 100]], rtol=0, atol=1e-4)
    np.testing.assert_allclose(first[1], [0.9, 0.5])
    assert first[2].tolist() == [1, 0]
    assert [len(part) for part in second] == [0, 0, 0]


def test_a_path_an_array_and_a_batch_agree(detector, tmp_path):
    images = [picture(90, 60, seed) for seed in range(3)]
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    one_by_one = [detector(image) for image in images]
    paths = detector([tmp_path / f"{number}.png" for number in range(3)])
    batch = detector(np.stack(images))
    single = detector(str(tmp_path / "0.png"))
    for a, b, c in zip(one_by_one, paths, batch):
        same(a, b)
        same(a, c)
    same(single, one_by_one[0])
    assert len(single) > 0


def test_pictures_of_different_sizes_in_one_call(detector):
    images = [picture(90, 60), picture(31, 77, 1), picture(1, 1, 2)]
    for found, image in zip(detector(images), images):
        same(found, detector(image))
        height, width = image.shape[:2]
        assert (found.xyxy >= 0).all() and (found.xyxy <= [width, height, width, height]).all()
        assert found.image is image


def test_more_pictures_than_a_batch(small_run):
    images = [picture(64, 48, seed) for seed in range(5)]
    few = Detector(load(small_run), score_threshold=0.01, batch_size=2)(images)
    many = Detector(load(small_run), score_threshold=0.01, batch_size=5)(images)
    assert len(few) == 5
    for one, other in zip(few, many):
        same(one, other)


def test_results_are_those_of_the_network_by_hand(detector, small_run):
    image = picture(120, 80)
    net = load(small_run)
    cls_preds, _ = net(mx.nd.array(EvalTransform(net.preprocess)(image)[0][None]))
    best = cls_preds.softmax().asnumpy()[0, :, 1:].max()
    assert detector(image).scores[0] == pytest.approx(best, abs=1e-5)


def rotated(image, orientation):
    """A JPEG whose pixels show ``image`` only after a viewer has followed its orientation."""
    undo = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored = Image.fromarray(image).transpose(undo[orientation])
    stored.save(buffer, "JPEG", quality=100, subsampling=0, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_photo_is_turned_upright(detector, tmp_path, orientation):
    image = picture(96, 64)
    (tmp_path / "photo.jpg").write_bytes(rotated(image, orientation))
    found = detector(tmp_path / "photo.jpg")
    assert found.image.shape == (64, 96, 3)
    assert np.abs(found.image.astype(int) - image).mean() < 3
    upright = detector(found.image)
    same(found, upright)


def test_saving_and_plain_values(detector, tmp_path):
    found = detector(picture(96, 64))
    found.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as saved:
        assert saved.size == (96, 64)
        assert not np.array_equal(np.asarray(saved), found.image)
    first = found.to_dict()[0]
    assert first["name"] == found.names[0] == found.classes[first["class_id"]]
    assert first["score"] == pytest.approx(found.scores[0], abs=1e-5)
    assert first["xyxy"] == pytest.approx(found.xyxy[0], abs=0.01)
    with pytest.raises(UserError, match="a.xyz: the picture cannot be written: "):
        found.save(tmp_path / "a.xyz")
    with pytest.raises(UserError, match="a.png: the picture cannot be written: "):
        found.save(tmp_path / "gone" / "a.png")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_pictures(detector, array):
    with pytest.raises(UserError, match=r"must be \(height, width, 3\) uint8 RGB"):
        detector([array])


def test_no_pictures(detector):
    assert detector([]) == []


def test_a_threshold_nothing_passes(small_run):
    found = Detector(load(small_run), score_threshold=0.999)(picture(64, 48))
    assert len(found) == 0
    assert found.xyxy.shape == (0, 4)
    assert found.to_dict() == []
    assert np.array_equal(found.plot(), found.image)


def test_a_fused_detector_finds_the_same_and_leaves_the_network_alone():
    mx.random.seed(3)
    net = get_model("ssd_tiny", classes=["cat", "dog"])
    random = np.random.RandomState(0)
    for name, parameter in net.collect_params().items():
        if "running_mean" in name or name.endswith("gamma"):
            assign(parameter, parameter.data().asnumpy() + random.normal(0, 0.1, parameter.shape))
    images = random.randint(0, 255, (5, 90, 120, 3)).astype(np.uint8)
    settings = {"score_threshold": 0.4, "batch_size": 3}
    plain = Detector(net, **settings)(images)
    fused = Detector(net, fuse=True, **settings)(images)
    assert sum(map(len, plain)) > 20
    for ours, theirs in zip(fused, plain):
        assert ours.names == theirs.names
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)
        np.testing.assert_allclose(ours.xyxy, theirs.xyxy, atol=0.05)

    with autograd.record():
        loss = (net(mx.nd.ones((1, 3, 192, 192)))[0] ** 2).mean()
    loss.backward()
    assert float(net.predictors[0].conv.weight.grad().abs().sum().asscalar()) > 0
