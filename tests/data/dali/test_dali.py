"""The DALI loader beside the native one: the same images, ids, sizes, boxes, shards; its own options."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import mxnet as mx
import numpy as np
import pytest
from PIL import Image, features

pytest.importorskip("nvidia.dali")

from gluon_ssd.anchors import SSD300_COCO
from gluon_ssd.boxes import pairwise_iou, xywh_to_ltrb
from gluon_ssd.data import EvalTransform, NativeLoader, Preprocess, SSDTrainTransform, open_dataset
from gluon_ssd.data.batch import pad_objects
from gluon_ssd.data.dali import DaliLoader, DaliOptions
from gluon_ssd.data.transforms import FlipTrainTransform
from gluon_ssd.errors import UserError
from gluon_ssd.targets import SSDTargetEncoder

pytestmark = pytest.mark.usefixtures("no_threads_left")
SMALL = Preprocess((24, 32))


@pytest.fixture
def data(coco_folder):
    """Seven images; the sixth has only a crowd, the seventh nothing."""
    boxes = [(k, 1, 10, 20, 15 + k, 5) for k in range(1, 6)] + [(2, 3, 0, 0, 64, 48)]
    root = coco_folder(boxes, count=7)
    file = root / "annotations" / "train.json"
    content = json.loads(file.read_text())
    crowd = {"id": 99, "image_id": 6, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1}
    content["annotations"].append(crowd)
    file.write_text(json.dumps(content))
    return open_dataset(root, "train")


def loader(data, batch_size=2, transform=None, **options):
    dali = {name: options.pop(name) for name in list(options) if name in DaliOptions.__dataclass_fields__}
    transform = transform or EvalTransform(SMALL)
    return DaliLoader(data, transform, batch_size, options=DaliOptions(**dali), **options)


def training(data, **options):
    return loader(data, 2, SSDTrainTransform(SMALL, attempts=1), shuffle=True, seed=3, **options)


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a.image_ids, b.image_ids)
        np.testing.assert_array_equal(a.pictures(), b.pictures())
        np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-6)
        np.testing.assert_array_equal(a.labels, b.labels)


@pytest.mark.parametrize("size", [(300, 300), (800, 800)])
def test_evaluation_batches_agree_with_the_native_ones_image_by_image(coco128, size):
    """A grey level is 0.017. Chroma is upsampled, and the bilinear kernel widened, a little differently."""
    data, transform = open_dataset(coco128, "train"), EvalTransform(Preprocess(size))
    count = 128 if size[0] == 300 else 24
    differences = []
    pair = [
        NativeLoader(data, transform, 24, indices=range(count)),
        loader(data, 24, transform, indices=range(count)),
    ]
    for native, dali in zip(*pair):
        np.testing.assert_array_equal(native.image_ids, dali.image_ids)
        np.testing.assert_array_equal(native.sizes, dali.sizes)
        np.testing.assert_array_equal(native.labels, dali.labels)
        np.testing.assert_allclose(native.boxes, dali.boxes, atol=1e-6)
        assert dali.images.shape == native.images.shape and dali.images.dtype == np.float32
        differences.extend(np.abs(native.images - dali.pictures()).mean(axis=(1, 2, 3)))
    assert len(differences) == count
    assert np.mean(differences) < 0.025 and max(differences) < 0.1


@pytest.mark.parametrize("transform", [EvalTransform(SMALL), FlipTrainTransform(SMALL, mirror=1.0)])
def test_mirrored_or_not_boxes_follow(data, transform):
    for native, dali in zip(NativeLoader(data, transform, 3), loader(data, 3, transform)):
        np.testing.assert_allclose(native.boxes, dali.boxes, atol=1e-6)
        np.testing.assert_array_equal(native.labels, dali.labels)
        assert np.abs(native.images - dali.pictures()).mean() < 0.05


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_an_epoch_over_shards_sees_each_image_once(data, size, multiplier):
    shards = [loader(data, shard=(k, size), batch_multiplier=multiplier) for k in range(size)]
    seen = [[int(k) for batch in shard for k in batch.image_ids] for shard in shards]
    assert sorted(k for shard in seen for k in shard) == [1, 2, 3, 4, 5, 6, 7]
    assert [len(part) for part in seen] == [shard.samples for shard in shards]


def test_evaluation_of_fewer_images_than_a_batch(data):
    batches = list(loader(data, 16, batch_multiplier=2, indices=[4, 1, 2]))
    assert [batch.image_ids.tolist() for batch in batches] == [[5, 2, 3]]
    assert batches[0].images.shape == (3, 3, 24, 32)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_training_epoch_over_shards_is_the_native_one(data, size):
    """Up to the last short batch, every image that has an annotation once, in the native loader's order."""
    for rank in range(size):
        options = {"shuffle": True, "drop_last": True, "skip_empty": True, "seed": 5, "shard": (rank, size)}
        native = NativeLoader(data, EvalTransform(SMALL), 2, **options)
        dali = loader(data, **options)
        for epoch in (1, 2):
            native.set_epoch(epoch)
            dali.set_epoch(epoch)
            expected = [batch.image_ids.tolist() for batch in native]
            assert [batch.image_ids.tolist() for batch in dali] == expected
            assert len(expected) == 6 // size // 2


def test_crowds_are_no_targets_but_keep_their_image_in_training(data):
    (batch,) = loader(data, 7, skip_empty=True)
    assert batch.image_ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert (batch.labels >= 0).sum(axis=1).tolist() == [1, 2, 1, 1, 1, 0]


@pytest.mark.parametrize("multiplier", [1, 2])
def test_the_same_seed_gives_the_same_batches_whatever_the_threads(data, multiplier):
    first = list(training(data, batch_multiplier=multiplier))
    assert_same(first, list(training(data, batch_multiplier=multiplier, workers=1, prefetch=1)))


def test_epochs_differ_and_repeat(data):
    one = training(data)
    first = list(one)
    one.set_epoch(1)
    second = list(one)
    assert [b.image_ids.tolist() for b in first] != [b.image_ids.tolist() for b in second]
    one.set_epoch(0)
    assert_same(first, list(one))


@pytest.mark.parametrize("multiplier", [1, 2, 3])
@pytest.mark.parametrize("start", [1, 2, 3])
def test_resume_within_an_epoch(data, multiplier, start):
    one = training(data, batch_multiplier=multiplier)
    one.set_epoch(4)
    whole = list(one)
    one.set_epoch(4, start)
    assert_same(whole[start:], list(one))
    one.set_epoch(4, len(one))
    assert list(one) == []


def test_batches_share_dalis_memory_and_stay_as_they_are(data):
    one = training(data)
    kept = list(one)
    assert all(isinstance(batch.images, mx.nd.NDArray) for batch in kept)
    before = [batch.images.asnumpy() for batch in kept]
    for epoch in range(1, 4):
        one.set_epoch(epoch)
        for _ in one:
            pass
    for batch, values in zip(kept, before):
        np.testing.assert_array_equal(batch.images.asnumpy(), values)


def test_layouts_types_and_the_padded_channel(data):
    (plain,) = loader(data, 7)
    (half,) = loader(data, 7, layout="NHWC", dtype="float16", pad_channels=True)
    assert plain.images.shape == (7, 3, 24, 32) and plain.images.dtype == np.float32
    assert half.images.shape == (7, 24, 32, 4) and half.images.dtype == np.float16
    assert half.layout == "NHWC" and not half.images.asnumpy()[..., 3].any()
    np.testing.assert_allclose(half.pictures(), plain.pictures(), atol=2e-3)


def test_targets_are_those_of_dalis_encoder(coco128):
    """For objects that have one best default box; of several alike DALI takes the last, the reference the
    first."""
    from nvidia.dali import Pipeline, fn

    anchors = SSD300_COCO.xywh()
    corners = xywh_to_ltrb(anchors)
    objects = []
    for record in open_dataset(coco128, "train").records:
        boxes, labels = record.objects()
        boxes = boxes / np.float32([record.width, record.height] * 2)
        iou = np.sort(pairwise_iou(boxes, corners), axis=1)
        single = iou[:, -1] > iou[:, -2] + 1e-6
        if single.any():
            objects.append((boxes[single], labels[single]))
    assert sum(len(labels) for _, labels in objects) > 500
    pipeline = Pipeline(len(objects), 2, None)
    with pipeline:
        boxes = fn.external_source(lambda: [boxes for boxes, _ in objects])
        labels = fn.external_source(lambda: [labels + 1 for _, labels in objects])
        encoded = fn.box_encoder(
            boxes, labels, anchors=corners.ravel().tolist(), offset=True, scale=1.0, stds=[0.1, 0.1, 0.2, 0.2]
        )
        pipeline.set_outputs(*encoded)
    box_targets, cls_targets = (np.array(output.as_tensor()) for output in pipeline.run())
    ours = SSDTargetEncoder(anchors)(*pad_objects(objects))
    np.testing.assert_array_equal(ours[0], cls_targets)
    np.testing.assert_allclose(ours[1], box_targets, atol=1e-5)


def test_the_encoder_makes_the_targets(data):
    one = loader(data, 3, encoder=lambda boxes, labels: (boxes.shape, labels.max()))
    assert [batch.targets for batch in one] == [((3, 2, 4), 1), ((3, 1, 4), 0), ((1, 1, 4), -1)]


def spoil(data, index, content):
    data.records[index].path.write_bytes(content)


@pytest.mark.parametrize("training_too", [False, True])
def test_a_bad_image_is_named(data, training_too):
    spoil(data, 3, b"no picture")
    one = training(data) if training_too else loader(data)
    with pytest.raises(UserError, match=r"4\.jpg: not a picture"):
        list(one)


def test_an_image_of_another_size_is_named(data):
    spoil(data, 3, data.records[3].path.read_bytes())
    object.__setattr__(data.records[3], "width", 60)
    with pytest.raises(UserError, match=r"4\.jpg: the picture is 64x48 but its annotation says 60x48"):
        list(loader(data))


@pytest.mark.parametrize("kind", ["GIF", "AVIF"])
def test_formats_that_only_pillow_reads_are_there_too(data, kind):
    """Whatever their names say."""
    if kind == "AVIF" and "avif" not in features.get_supported():
        pytest.skip("Pillow has no AVIF here")
    image = Image.open(data.records[1].path)
    image.save(data.records[1].path, kind)
    pair = [next(iter(each(data, EvalTransform(SMALL), 2))) for each in (NativeLoader, DaliLoader)]
    assert np.abs(pair[0].images - pair[1].pictures()).mean() < 0.02


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not UTF-8")
def test_a_name_that_is_not_utf8(data):
    strange = data.records[1].path.with_name("caf\udce9.jpg")
    data.records[1].path.rename(strange)
    data.records[1] = replace(data.records[1], path=strange)
    pair = [next(iter(each(data, EvalTransform(SMALL), 2))) for each in (NativeLoader, DaliLoader)]
    assert np.abs(pair[0].images - pair[1].pictures()).mean() < 0.02


def test_a_file_listed_twice_is_two_images(data):
    # DALI's reader knows an image by its name alone.
    object.__setattr__(data.records[3], "path", data.records[1].path)
    expected = [batch.image_ids.tolist() for batch in NativeLoader(data, EvalTransform(), 2)]
    with loader(data) as batches:
        found = list(batches)
    assert [batch.image_ids.tolist() for batch in found] == expected
    np.testing.assert_array_equal(found[0].pictures()[1], found[1].pictures()[1])


def test_a_size_beyond_dalis_integers_is_refused_like_any_other(data):
    object.__setattr__(data.records[3], "width", 2**40)
    with pytest.raises(UserError, match=rf"4\.jpg: the picture is 64x48 but its annotation says {2**40}x48"):
        list(loader(data))


def test_a_missing_image_is_named(data):
    data.records[2].path.unlink()
    with pytest.raises(UserError, match=r"3\.jpg: cannot be read"):
        list(loader(data))


def test_leaving_in_the_middle_ends_the_threads(data):
    for _ in training(data):
        break
    with training(data) as one:
        next(iter(one))


@pytest.mark.parametrize(
    "options, part",
    [
        ({"input_jpg_decode": "gpu"}, "works on a GPU only; use cpu"),
        ({"input_jpg_decode": "jpeg"}, "unknown input_jpg_decode 'jpeg'"),
        ({"batch_multiplier": 0}, "batch_multiplier is 0"),
        ({"hw_decoder_load": 1.5}, "hw_decoder_load is 1.5"),
        ({"layout": "CHWN"}, "unknown layout 'CHWN'"),
        ({"prefetch": 0}, "prefetch is 0"),
        ({"indices": []}, "no images"),
    ],
)
def test_mistakes(data, options, part):
    with pytest.raises(UserError, match=part):
        loader(data, **options)


def test_the_decoder_of_the_device():
    assert DaliOptions().decoder == "cpu" and DaliOptions(device="gpu").decoder == "gpu"
    assert DaliOptions(device="gpu", input_jpg_decode="cache").decoder == "cache"


def test_record_files_give_the_same_batches(data, tmp_path):
    from gluon_ssd.data.record_files.prepare import prepare_records

    prepare_records(data, tmp_path / "packed", "train", shards=2)
    packed = open_dataset(tmp_path / "packed", "train")
    assert packed.records[0].packed is not None
    options = {"seed": 7, "shuffle": True, "skip_empty": True}
    transform = SSDTrainTransform(SMALL, attempts=1)
    assert_same(list(loader(data, 3, transform, **options)), list(loader(packed, 3, transform, **options)))
    with pytest.raises(UserError, match="DALI caches image files"):
        loader(packed, device="gpu", input_jpg_decode="cache")
