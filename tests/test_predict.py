"""The detector: pixels, frames of pictures, and agreement of its ways in."""

import io

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from PIL import Image
from small import picture, write_set

from gluon_ssd import Detector, get_model, load
from gluon_ssd.data import images, open_dataset
from gluon_ssd.data.transforms import EvalTransform
from gluon_ssd.device import pick_device
from gluon_ssd.errors import UserError
from gluon_ssd.nn import assign
from gluon_ssd.predict import to_pixels
from gluon_ssd.training.evaluate import detect_all


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


def test_a_large_photo_is_read_as_val_reads_it(small_run, tmp_path):
    """At a fraction of its size, from which the results differ a little."""
    root = write_set(tmp_path / "set", count=2, size=(1600, 1184))
    detector = Detector(small_run, score_threshold=0.01)
    data = open_dataset(root, "val")
    scored = detect_all(detector, data)
    for record in data.records:
        found = detector(record.path)
        boxes, scores, class_ids = scored[record.image_id]
        np.testing.assert_array_equal(found.xyxy, boxes)
        np.testing.assert_array_equal(found.scores, scores)
        np.testing.assert_array_equal(found.class_ids, class_ids)
        assert found.image.shape == (1184, 1600, 3)


def test_a_file_is_looked_at_once(detector, tmp_path, monkeypatch):
    Image.fromarray(picture(90, 60)).save(tmp_path / "a.jpg")
    opened = []
    monkeypatch.setattr(images, "refuse_device", opened.append)
    detector(tmp_path / "a.jpg")
    assert opened == [tmp_path / "a.jpg"]


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


def test_a_stream_tells_which_images_cannot_be_read(detector, tmp_path):
    images = [picture(64, 48, seed) for seed in range(11)]
    images[4] = tmp_path / "gone.jpg"
    images[8:] = ["gone too.jpg"] * 3
    outcomes = list(detector.stream(image for image in images))
    assert [str(outcomes[index]) for index in (4, 8)] == [
        f"{tmp_path}/gone.jpg: cannot be read (No such file or directory); check the path",
        "gone too.jpg: cannot be read (No such file or directory); check the path",
    ]
    for index in (0, 3, 5, 7):
        same(outcomes[index], detector(images[index]))
    with pytest.raises(UserError, match="gone.jpg: cannot be read"):
        detector(images)


def test_an_opened_file_may_come_twice(detector, tmp_path):
    """Pillow reads it when its pixels are needed first, which may be in two threads at once."""
    Image.fromarray(picture(1600, 1200)).save(tmp_path / "photo.jpg")
    with Image.open(tmp_path / "photo.jpg") as image:
        first, *others = detector([image] * 4)
    for other in others:
        same(first, other)


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


def test_grey_and_alpha(detector):
    image = picture(64, 48)
    grey = image[..., 0]
    expected = detector(np.dstack([grey, grey, grey]))
    for given in (grey, grey[..., None], Image.fromarray(grey), Image.fromarray(grey).convert("LA")):
        same(detector(given), expected)
    alpha = np.random.RandomState(0).randint(0, 256, grey.shape).astype(np.uint8)
    transparent = np.dstack([image, alpha])
    for given in (transparent, Image.fromarray(transparent)):
        found = detector(given)
        same(found, detector(image))
        np.testing.assert_array_equal(found.image, image)


def test_views_of_arrays(detector):
    image = picture(64, 48)
    same(detector(image[:, ::-1]), detector(image[:, ::-1].copy()))
    same(detector(image[::2, :, ::-1]), detector(image[::2, :, ::-1].copy()))


MODES = "1 L LA P PA RGB RGBA RGBa RGBX CMYK YCbCr HSV LAB F I I;16 I;16B"


@pytest.mark.parametrize("mode", MODES.split())
def test_a_pillow_image_of_any_mode(detector, mode):
    image = Image.fromarray(picture(64, 48))
    grey = picture(64, 48)[..., 0]
    if mode.startswith("I"):
        image = Image.fromarray(grey.astype(np.uint16) * 257)
        image = image.convert("I") if mode == "I" else image
        expected = np.dstack([grey] * 3)
    elif mode in ("1", "L", "LA", "P", "PA", "F"):
        image = image.convert("L").convert("P" if mode == "PA" else mode).convert(mode)
        expected = np.dstack([np.asarray(image.convert("L"))] * 3)
    else:
        image = image.convert("RGBA" if mode == "RGBa" else "RGB").convert(mode)
        expected = np.asarray(image.convert("RGB"))
    found = detector(image)
    np.testing.assert_array_equal(found.image, expected)
    same(found, detector(expected))


def test_a_photo_that_pillow_opened_is_taken_as_it_stands(detector, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(rotated(picture(96, 64), 6))
    with Image.open(tmp_path / "photo.jpg") as image:
        assert detector(image).image.shape == (96, 64, 3)


def test_a_pillow_image_that_cannot_be_read(detector, tmp_path, monkeypatch):
    # GluonCV, where another test has imported it, tells Pillow to fill in what is missing.
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", False)
    Image.fromarray(picture(96, 64)).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"^a PIL image, mode RGB, size \(96, 64\): image file is truncated"):
        detector(Image.open(tmp_path / "a.jpg"))
    closed = Image.open(tmp_path / "a.jpg")
    closed.close()
    with pytest.raises(UserError, match=r"^a PIL image, mode RGB, size \(96, 64\): "):
        detector(closed)


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.zeros((4, 4), np.float32), r"\(4, 4\) float32"),
        (np.zeros((4, 4, 3), np.float32), r"\(4, 4, 3\) float32"),
        (np.zeros((4, 4, 3), np.uint16), r"\(4, 4, 3\) uint16"),
        (np.zeros((4, 4), bool), r"\(4, 4\) bool"),
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\) uint8"),
        (np.zeros((3, 4, 4, 5), np.uint8), r"\(4, 4, 5\) uint8"),
        (np.zeros((2, 3, 4, 4, 3), np.uint8), r"\(3, 4, 4, 3\) uint8"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\) uint8"),
        (np.zeros((0, 4, 4, 3), np.uint8), r"\(0, 4, 4, 3\) uint8"),
        (np.zeros(0), r"\(0,\) float64"),
        (np.uint8(3), "got uint8"),
        (np.array(["a.jpg"]), r"\(1,\) <U5"),
        (Image.new("RGB", (0, 4)), r"\(4, 0, 3\) uint8"),
        (b"JPEG", "got bytes"),
        (None, "got NoneType"),
        ([None], "got NoneType"),
        ([[picture(4, 4)]], "got list"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_shape(detector, array, what):
    with pytest.raises(UserError, match=f"^an image .*{what}$"):
        detector(array)


def test_a_generator_is_read_two_batches_ahead(small_run):
    made = []

    def frames():
        for seed in range(9):
            made.append(seed)
            yield picture(64, 48, seed)

    detector = Detector(load(small_run), score_threshold=0.01, batch_size=2)
    seen = []
    detector.detect_batch = lambda *args: seen.append(len(made)) or Detector.detect_batch(detector, *args)
    assert len(detector(frames())) == 9
    assert seen == [6, 8, 9, 9, 9]
    assert detector(iter([])) == []


def test_pictures_of_paths_are_not_kept(detector, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(picture(64, 48)).save(path)
    found = detector(paths)
    assert [each.source for each in found] == paths
    assert not any(isinstance(value, np.ndarray) and value.ndim > 2 for value in vars(found[0]).values())


def test_every_way_to_a_detector(detector, small_run):
    image = picture(64, 48)
    options = {"score_threshold": 0.01, "max_detections": 20}
    for where in (str(small_run), small_run, small_run / "best", small_run / "checkpoints/best.ckpt"):
        same(Detector(where, **options)(image), detector(image))
    same(Detector.from_run(small_run, device="cpu", **options)(image), detector(image))
    with pytest.raises(UserError, match="^nowhere: no such checkpoint or run folder$"):
        Detector("nowhere")
    with pytest.raises(UserError, match="^a Detector takes a network, a run folder or .* got int$"):
        Detector(5)
    with pytest.raises(UserError, match="^resnet18 is a backbone, not a detector"):
        Detector(get_model("resnet18"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score_threshold": 3}, "score_threshold must be less than 1, got 3"),
        ({"score_threshold": -1}, "score_threshold must be at least 0, got -1"),
        ({"score_threshold": float("nan")}, "score_threshold must be at least 0, got nan"),
        ({"score_threshold": "0.5"}, "score_threshold must be a number, got '0.5'"),
        ({"score_threshold": True}, "score_threshold must be a number, got True"),
        ({"iou_threshold": 0}, "iou_threshold must be greater than 0, got 0"),
        ({"iou_threshold": 1.5}, "iou_threshold must be at most 1, got 1.5"),
        ({"iou_threshold": "0.5"}, "iou_threshold must be a number, got '0.5'"),
        ({"max_detections": 0}, "max_detections must be at least 1, got 0"),
        ({"max_detections": True}, "max_detections must be an integer, got True"),
        ({"max_detections": "20"}, "max_detections must be an integer, got '20'"),
        ({"nms_candidates": 0}, "nms_candidates must be at least 1, got 0"),
        ({"max_detections": 20.0}, "max_detections must be an integer, got 20.0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_options_out_of_range(small_run, options, message):
    with pytest.raises(UserError) as caught:
        Detector(small_run, **options)
    assert str(caught.value) == message


def test_options_of_numpy(detector, small_run):
    numpy = Detector(small_run, np.float32(0.01), np.float64(0.5), max_detections=np.int64(20))
    same(numpy(picture(64, 48)), detector(picture(64, 48)))


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


@pytest.mark.parametrize("name", ["cuda", "GPU", "", "cpu:0"])
def test_a_device_of_another_name_is_refused(name):
    with pytest.raises(UserError, match="unknown device"):
        pick_device(name)
