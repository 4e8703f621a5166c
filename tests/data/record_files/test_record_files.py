"""Data sets packed into record files: what comes back, by our reader and by others."""

import gc
import io
import json

import numpy as np
import pytest
from PIL import Image
from small import write_set
from tf_message import example_message, needs_crc32c

from gluon_ssd.data import EvalTransform, NativeLoader, Preprocess, SSDTrainTransform, open_dataset
from gluon_ssd.data.record_files.prepare import prepare_records
from gluon_ssd.data.record_files.writers import Item, tfrecord_features
from gluon_ssd.errors import UserError

FORMATS = ["recordio", pytest.param("tfrecord", marks=needs_crc32c)]
MAGIC = bytes.fromhex("0a23d7ce")
# (id, image, category, box, more)
OBJECTS = (
    (-4, 3, 1, [0.1, 0.2, 30.3, 20.7], {"area": 123.456}),
    (9, 1, 3, [10, 20, 15, 5], {}),
    (7, 1, 1, [0, 0, 64, 48], {"iscrowd": 1, "segmentation": {"counts": [1], "size": [48, 64]}}),
    (12, 1, 1, [50, 40, 30.5, 30], {}),
    (13, 3, 3, [5, 5, 0, 4], {}),
)


@pytest.fixture
def odd_set(coco_folder):
    """Four images: one without objects, one a PNG in a folder; crowd, no area, negative and huge ids."""
    annotations = [
        {"id": k, "image_id": image, "category_id": category, "bbox": box, **more}
        for k, image, category, box, more in OBJECTS
    ]
    root = coco_folder(count=3, annotations=annotations)
    path = root / "annotations" / "train.json"
    content = json.loads(path.read_text())
    content["images"].append({"id": -(2**40), "file_name": "más/4.png", "width": 5, "height": 7})
    path.write_text(json.dumps(content))
    (root / "train" / "más").mkdir()
    Image.new("RGB", (5, 7), (1, 2, 3)).save(root / "train" / "más" / "4.png")
    return root


def same_records(found, expected):
    assert found.classes == expected.classes and found.category_ids == expected.category_ids
    assert found.coco_content() == expected.coco_content()
    assert (found.dropped, found.clipped, len(found)) == (expected.dropped, expected.clipped, len(expected))
    for ours, theirs in zip(found.records, expected.records):
        assert ours.read() == theirs.path.read_bytes()
        assert (ours.image_id, ours.width, ours.height) == (theirs.image_id, theirs.width, theirs.height)
        for name in ("boxes", "classes", "crowd"):
            mine, other = getattr(ours, name), getattr(theirs, name)
            assert mine.dtype == other.dtype and np.array_equal(mine, other)


def same_batches(found, expected, transform, **options):
    one, two = (NativeLoader(data, transform, 2, workers=2, **options) for data in (found, expected))
    with one, two:
        assert len(one) == len(two) > 0
        for left, right in zip(one, two):
            for name in ("images", "boxes", "labels", "image_ids", "sizes"):
                assert np.array_equal(getattr(left, name), getattr(right, name))


@pytest.mark.parametrize("shards", [1, 3, 4, None])
@pytest.mark.parametrize("format", FORMATS)
def test_everything_comes_back(odd_set, tmp_path, format, shards):
    dataset = open_dataset(odd_set)
    seen = []
    manifest = prepare_records(
        dataset, tmp_path / "out", "train", format=format, shards=shards, on_image=seen.append
    )
    assert manifest == tmp_path / "out" / "records_train.json" and seen == [1] * 4
    count, suffix = shards or 4, {"recordio": "rec", "tfrecord": "tfrecord"}[format]
    names = {f"train-{k:05}-of-{count:05}.{end}" for k in range(count) for end in (suffix, "idx")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names | {manifest.name}
    packed = open_dataset(tmp_path / "out")
    same_records(packed, dataset)
    assert packed.dropped == {"no width or height": 1}
    same_batches(packed, dataset, EvalTransform(Preprocess(size=(32, 32))))
    same_batches(packed, dataset, SSDTrainTransform(Preprocess(size=(32, 32))), shuffle=True, skip_empty=True)


@pytest.mark.parametrize("format", FORMATS)
def test_real_images_come_back_and_make_the_same_batches(coco128, tmp_path, format):
    dataset = open_dataset(coco128)
    prepare_records(dataset, tmp_path / "out", "train", format=format, shards=3)
    packed = open_dataset(tmp_path / "out")
    same_records(packed, dataset)
    assert any(record.crowd.any() for record in dataset.records)
    assert any(not len(record.boxes) for record in dataset.records)
    transform = SSDTrainTransform(Preprocess(size=(300, 300)))
    same_batches(packed, dataset, transform, shuffle=True, seed=3, indices=range(0, 128, 4))


def test_classes_can_be_chosen_as_from_the_data_set(odd_set, tmp_path):
    prepare_records(open_dataset(odd_set), tmp_path / "out", "train")
    for classes in (["dog", "cat"], ["dog"]):
        same_records(open_dataset(tmp_path / "out", classes=classes), open_dataset(odd_set, classes=classes))


@needs_crc32c
def test_one_format_is_packed_into_the_other(odd_set, tmp_path):
    prepare_records(open_dataset(odd_set), tmp_path / "one", "train")
    prepare_records(open_dataset(tmp_path / "one"), tmp_path / "two", "train", format="tfrecord")
    same_records(open_dataset(tmp_path / "two"), open_dataset(odd_set))


def test_the_manifest_is_a_coco_annotation_file(odd_set, tmp_path):
    from pycocotools.coco import COCO

    manifest = prepare_records(open_dataset(odd_set), tmp_path / "out", "train")
    truth = COCO(str(manifest))
    assert sorted(truth.getImgIds()) == [-(2**40), 1, 2, 3]
    assert open_dataset(odd_set, annotation=manifest).classes == ("cat", "dog")


def test_a_picture_with_recordios_magic_number_inside_comes_back(coco_folder, tmp_path):
    root = coco_folder()
    path = root / "train" / "2.jpg"
    data = path.read_bytes()
    # A comment with the number at every alignment.
    comment = MAGIC + b"." + MAGIC + b"." + MAGIC + b"." + MAGIC + b"." + MAGIC
    path.write_bytes(data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:])
    dataset = open_dataset(root)
    prepare_records(dataset, tmp_path / "out", "train", shards=1)
    assert (tmp_path / "out" / "train-00000-of-00001.rec").read_bytes().count(MAGIC) > 3 + 4
    same_records(open_dataset(tmp_path / "out"), dataset)


def test_mxnet_reads_the_recordio_shards(odd_set, tmp_path):
    import mxnet as mx

    dataset = open_dataset(odd_set)
    prepare_records(dataset, tmp_path / "out", "train", shards=2)
    for shard, positions in enumerate(([0, 1], [2, 3])):
        stem = tmp_path / "out" / f"train-{shard:05}-of-00002"
        file = mx.recordio.MXIndexedRecordIO(f"{stem}.idx", f"{stem}.rec", "r")
        assert file.keys == positions
        for position in positions:
            header, picture = mx.recordio.unpack(file.read_idx(position))
            record = dataset.records[position]
            assert picture == record.path.read_bytes() and header.id == record.image_id % 2**64
            assert header.label[:2].tolist() == [2, 6]
            objects = header.label[2:].reshape(-1, 6)
            assert objects[:, 0].tolist() == record.classes.tolist()
            pixels = objects[:, 1:5] * np.array([record.width, record.height] * 2)
            np.testing.assert_allclose(pixels, record.boxes, atol=1e-5)
            assert objects[:, 5].tolist() == record.crowd.tolist()
        file.close()


def test_mxnets_detection_iterator_reads_the_recordio_shards(tmp_path):
    import mxnet as mx

    dataset = open_dataset(write_set(tmp_path / "set"))
    prepare_records(dataset, tmp_path / "out", "train", shards=1)
    stem = str(tmp_path / "out" / "train-00000-of-00001")
    batches = mx.image.ImageDetIter(1, (3, 48, 64), path_imgrec=f"{stem}.rec", path_imgidx=f"{stem}.idx")
    for record, batch in zip(dataset.records, batches):
        assert batch.data[0].shape == (1, 3, 48, 64)
        assert batch.label[0].asnumpy().tolist() == [[[*record.classes.tolist(), 0, 0, 1, 1, 0]]]


@needs_crc32c
def test_protobuf_and_tensorboard_read_the_tfrecord_shards(odd_set, tmp_path):
    dataset = open_dataset(odd_set)
    prepare_records(dataset, tmp_path / "out", "train", format="tfrecord", shards=2)
    shards = sorted((tmp_path / "out").glob("*.tfrecord"))
    example = example_message()
    records = iter(zip(dataset.records, dataset.coco_content()["images"]))
    for path in shards:
        data, index = path.read_bytes(), path.with_suffix(".idx").read_text().split()
        places = [(int(offset), int(length)) for offset, length in zip(index[::2], index[1::2])]
        assert len(places) == 2 and sum(length for _, length in places) == len(data)
        for offset, length in places:
            message = example()
            message.ParseFromString(data[offset + 12 : offset + length - 4])
            check_example(message.features.feature, *next(records))
    tensorboard = pytest.importorskip("tensorboard.compat.tensorflow_stub.pywrap_tensorflow")
    for path in shards:
        # It compares both checksums of each record.
        reader = tensorboard.PyRecordReader_New(str(path))
        for _ in range(2):
            reader.GetNext()


def check_example(features, record, row):
    def values(name, kind):
        return list(getattr(features[f"image/{name}"], f"{kind}_list").value)

    picture = record.path.read_bytes()
    assert values("encoded", "bytes") == [picture]
    assert values("format", "bytes") == [Image.open(io.BytesIO(picture)).format.lower().encode()]
    assert values("filename", "bytes") == [row["file_name"].encode()]
    assert values("source_id", "bytes") == [str(record.image_id).encode()]
    assert values("width", "int64") + values("height", "int64") == [record.width, record.height]
    assert values("object/class/label", "int64") == [label + 1 for label in record.classes]
    assert values("object/class/text", "bytes") == [[b"cat", b"dog"][label] for label in record.classes]
    assert values("object/is_crowd", "int64") == record.crowd.tolist()
    sides = [values(f"object/bbox/{side}", "float") for side in ("xmin", "ymin", "xmax", "ymax")]
    scale = [record.width, record.height] * 2
    np.testing.assert_allclose(np.array(sides).T.reshape(-1, 4) * scale, record.boxes, atol=1e-5)


@needs_crc32c
def test_what_was_packed_before_is_replaced_only_when_asked(odd_set, tmp_path):
    dataset, out = open_dataset(odd_set), tmp_path / "out"
    prepare_records(dataset, out, "train", format="tfrecord", shards=3)
    prepare_records(dataset, out, "val", shards=1)
    with pytest.raises(UserError, match=r"holds records_train\.json already; .* --overwrite"):
        prepare_records(dataset, out, "train")
    prepare_records(dataset, out, "train", shards=1, overwrite=True)
    stems = [f"{split}-00000-of-00001{suffix}" for split in ("train", "val") for suffix in (".idx", ".rec")]
    assert sorted(path.name for path in out.iterdir()) == ["records_train.json", "records_val.json", *stems]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, UserError("bad picture"), OSError(28, "No space left")])
@pytest.mark.parametrize("format", FORMATS)
def test_interrupted_packing_leaves_nothing(odd_set, tmp_path, format, stop):
    def on_image(count):
        seen.append(count)
        if len(seen) == 3:
            raise stop

    seen = []
    expected = KeyboardInterrupt if stop is KeyboardInterrupt else UserError
    with pytest.raises(expected):
        prepare_records(
            open_dataset(odd_set), tmp_path / "out", "train", format=format, shards=2, on_image=on_image
        )
    assert not (tmp_path / "out").exists()


def test_two_packings_at_the_same_moment(odd_set, tmp_path):
    out, begun = tmp_path / "out", []

    def other(count):
        if not begun:
            begun.append(prepare_records(open_dataset(odd_set), out, "train", shards=1))

    with pytest.raises(UserError, match=r"holds records_train\.json already"):
        prepare_records(open_dataset(odd_set), out, "train", shards=2, on_image=other)
    names = {path.name for path in out.iterdir()}
    assert names == {"records_train.json", "train-00000-of-00001.rec", "train-00000-of-00001.idx"}
    assert len(open_dataset(out)) == 4


def test_a_killed_packing_is_not_taken_for_records_and_the_next_cleans_up(odd_set, tmp_path):
    left = tmp_path / "out" / ".train.0123456789.partial"
    left.mkdir(parents=True)
    (left / "train-00000-of-00009.rec").write_bytes(b"half")
    with pytest.raises(UserError, match="no labels found"):
        open_dataset(tmp_path / "out")
    prepare_records(open_dataset(odd_set), tmp_path / "out", "train")
    assert not left.exists() and len(open_dataset(tmp_path / "out")) == 4


FULL_DISK = """
import resource
from gluon_ssd.data import open_dataset
from gluon_ssd.data.record_files.prepare import prepare_records
from gluon_ssd.data.record_files.writers import Item, tfrecord_features
from gluon_ssd.errors import UserError
# Files may not grow beyond this: a write fails as it does on a full disk.
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    prepare_records(open_dataset({root!r}), {out!r}, "train", format={format!r}, shards=1)
except UserError as error:
    print(error)
"""


# With few pictures it shows when the file is closed, with many when one is written.
@pytest.mark.parametrize(("count", "limit"), [(3, 600), (20, 8000)])
@pytest.mark.parametrize("format", FORMATS)
def test_a_disk_that_takes_no_more_is_one_line(coco_folder, python, tmp_path, format, count, limit):
    root, out = coco_folder(count=count), tmp_path / "out"
    done = python(FULL_DISK.format(limit=limit, root=str(root), out=str(out), format=format))
    assert done.status == 0, done.err
    assert done.out.startswith(f"{out}: the record files cannot be written: ") and done.out.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("format", FORMATS)
def test_an_index_that_cannot_be_made_is_one_line(odd_set, tmp_path, monkeypatch, capfd, format):
    def opened(path, mode, **options):
        if str(path).endswith(".idx"):
            raise OSError(28, "No space left on device")
        return open(path, mode, **options)

    for module in ("gluon_ssd.data.record_files.writers", "mxnet.recordio"):
        monkeypatch.setattr(f"{module}.open", opened, raising=False)
    with pytest.raises(UserError, match="the record files cannot be written: No space left on device"):
        prepare_records(open_dataset(odd_set), tmp_path / "out", "train", format=format)
    gc.collect()
    assert capfd.readouterr().err == "" and not (tmp_path / "out").exists()


def test_the_command_packs_both_splits_and_training_reads_them(cli, shapes, tmp_path):
    done = cli("prepare-records", shapes, "out", "--shards", "2")
    assert (done.status, done.err) == (0, "")
    assert (
        done.out
        == "train: 12 images packed, out/records_train.json\nval: 4 images packed, out/records_val.json\n"
    )
    arguments = ("train", "--recipe", "ssd_tiny/smoke", "--max-steps", "2", "--batch-size", "4")
    scores = []
    for data in (shapes, tmp_path / "out"):
        run = f"run-{data.name}"
        assert cli(*arguments, "--data", data, "--output", run).status == 0
        assert cli("val", run, "--limit", "3", "--output", f"val-{data.name}").status == 0
        scores.append((tmp_path / f"val-{data.name}" / "detections.json").read_bytes())
        assert (tmp_path / f"val-{data.name}" / "samples.jpg").is_file()
    assert scores[0] == scores[1] and len(scores[0]) > 100


def test_a_name_that_is_not_utf8_keeps_its_bytes(coco_folder):
    item = Item(0, "caf\udce9.jpg", open_dataset(coco_folder()).records[0], b"", ("cat", "dog"))
    assert tfrecord_features(item)["image/filename"] == [b"caf\xe9.jpg"]
